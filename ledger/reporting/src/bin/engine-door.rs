//! The engine's child process for this crate's own tests, which have no `tandem` binary to start; `tandem
//! engine-door` is the same call. Never installed.

fn main() -> std::process::ExitCode {
    match reporting::door::DoorArgs::parse(std::env::args().skip(1)) {
        Ok(args) => reporting::door::serve(&args).into(),
        Err(why) => {
            eprintln!("{why}");
            2.into()
        }
    }
}
