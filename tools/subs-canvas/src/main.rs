//! The process around the library: see `lib.rs`.

fn main() -> std::process::ExitCode {
    cli::main::<subs_canvas::Args>()
}
