//! The command line.

fn main() -> std::process::ExitCode {
    solderless::cli::main()
}
