//! `fuzz_replay TARGET FILE...`: runs inputs of a fuzz target, for a look into what one of them does (`SANSIP_SHOW=1`).

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let target = sansip_testkit::fuzz::Target::named(&name).expect("the name of a target");
    for file in arguments {
        let bytes = std::fs::read(&file).expect("a file");
        target.judge(&bytes, sansip_testkit::fuzz::Work::default);
        println!("{file}: nothing found");
    }
}
