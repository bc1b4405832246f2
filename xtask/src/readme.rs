//! `cargo xtask readme`: the README's own commands, so that they cannot rot.
//!
//! A block of shell that follows the line `<!-- run: ci -->` is run, line by line in one shell, from the root of the
//! repository; the first line that fails stops it.

use std::process::Command;

use crate::process::{self, Chore, Failure, about, root};

const MARK: &str = "<!-- run: ci -->";

/// Runs every marked block, without the lines `already` run.
pub(crate) fn run(already: &[&str]) -> Chore {
    let path = root().join("README.md");
    let text = std::fs::read_to_string(&path).map_err(about(&path))?;
    let blocks = marked(&text)?;
    if blocks.is_empty() {
        return Err(Failure::new(format!("README.md marks no block with {MARK}")));
    }
    for block in blocks {
        let lines: Vec<&str> = block.into_iter().filter(|line| !already.contains(&line.trim())).collect();
        if lines.iter().any(|line| !line.trim().is_empty()) {
            process::run(
                Command::new("bash").args(["-euo", "pipefail", "-c", &lines.join("\n")]).current_dir(root()),
            )?;
        }
    }
    Ok(())
}

/// The lines of each block under a mark.
fn marked(text: &str) -> Chore<Vec<Vec<&str>>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.trim() != MARK {
            continue;
        }
        let opened = lines.find(|(_, line)| !line.trim().is_empty());
        if opened.map(|(_, line)| line.trim()) != Some("```sh") {
            return Err(Failure::new(format!("README.md:{}: no ```sh block follows the mark", number + 1)));
        }
        let mut block = Vec::new();
        loop {
            match lines.next() {
                Some((_, "```")) => break,
                Some((_, line)) => block.push(line),
                None => {
                    return Err(Failure::new(format!("README.md:{}: the block does not end", number + 1)));
                }
            }
        }
        blocks.push(block);
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::marked;

    #[test]
    fn only_marked_blocks_are_taken() {
        let text = "```sh\nno\n```\n<!-- run: ci -->\n\n```sh\ncargo a\ncargo b\n```\n```sh\nno\n```\n";
        assert_eq!(marked(text).unwrap(), vec![vec!["cargo a", "cargo b"]]);
    }

    #[test]
    fn a_mark_without_its_block_is_an_error() {
        assert!(marked("<!-- run: ci -->\ntext\n").is_err());
        assert!(marked("<!-- run: ci -->\n```toml\n```\n").is_err());
        assert!(marked("<!-- run: ci -->\n```sh\nls\n").is_err());
        assert!(marked("<!-- run: ci -->").is_err());
        assert!(marked("").unwrap().is_empty());
    }
}
