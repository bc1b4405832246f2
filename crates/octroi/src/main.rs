//! The `octroi` command.

fn main() -> std::process::ExitCode {
    octroi::main()
}
