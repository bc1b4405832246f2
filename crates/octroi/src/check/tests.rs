use super::*;
use crate::config::{Config, ConfigArgs, Format, Process};

fn minimal() -> Config {
    let text = include_str!("../../tests/data/minimal.toml");
    Config::from_text(text, Format::Toml, &ConfigArgs::new("octroi.toml"), &NoSurroundings).unwrap()
}

struct NoSurroundings;

impl crate::config::Outside for NoSurroundings {
    fn variables(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn read(&self, path: &std::path::Path) -> std::io::Result<String> {
        Process.read(path)
    }
}

#[test]
fn the_table_says_what_each_tool_asks() {
    let shown = table::of_config(&minimal(), None);
    let table = "
  call                          identity  needs   price      proof of work                limit per caller  when it fails
  image_describe                required  -       3 sat      20 bits for 5 calls in 300 s  -                 credited back
";
    let lines: Vec<&str> = shown.lines().collect();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in table.lines().filter(|line| !line.is_empty()) {
        assert!(lines.iter().any(|line| words(line) == words(expected)), "{expected}\n in \n{shown}");
    }
    let rows = lines.iter().skip_while(|line| !line.trim_start().starts_with("call "));
    let column = |needle: &str| rows.clone().find_map(|line| line.find(needle)).unwrap();
    assert_eq!(column("price"), column("3 sat"));
    assert_eq!(column("price"), column("1700 msat"));
    assert!(shown.contains("obo_enabled does nothing without"), "{shown}");
}

#[test]
fn json_carries_the_same() {
    let shown = json::of_config(&minimal());
    assert_eq!(shown["ok"], true);
    assert_eq!(shown["servers"][0]["tools"][0]["price_msat"], 3000);
    assert_eq!(shown["servers"][0]["default"]["policy"], "deny");
}

#[test]
fn mistakes_are_objects_with_lines_in_json() {
    let args = ConfigArgs::new("octroi.toml");
    let mistakes = Config::from_text("x = 1", Format::Toml, &args, &NoSurroundings).unwrap_err();
    let shown = json::of_mistakes(&mistakes);
    assert_eq!(shown["ok"], false);
    assert_eq!(shown["mistakes"][0]["line"], 1);
}
