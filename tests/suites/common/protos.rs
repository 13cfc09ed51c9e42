//! The malformed INVITEs that the generator of the shared vectors makes.

use std::path::Path;
use std::process::Command;

use sansip_testkit::vectors;

/// The records in the order of the index; `None`, which has been said, where python3 cannot be run.
pub(crate) fn generated(folder: &Path) -> Option<Vec<Vec<u8>>> {
    let name = format!(
        "sansip-protos-{}-{}.pack",
        env!("CARGO_CRATE_NAME"),
        std::process::id()
    );
    let pack = std::env::temp_dir().join(name);
    let run = Command::new("python3")
        .arg(folder.join("gen_protos_like.py"))
        .arg(&pack)
        .output();
    match run {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "the generator failed: {}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => {
            vectors::skipped(&format!("malformed messages: python3 cannot be run ({error})"));
            return None;
        }
    }
    let packed = std::fs::read(&pack).unwrap();
    std::fs::remove_file(&pack).unwrap();
    let mut records = Vec::new();
    let mut rest = packed.as_slice();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (record, after) = after.split_at(usize::try_from(u32::from_le_bytes(*length)).unwrap());
        records.push(record.to_vec());
        rest = after;
    }
    Some(records)
}
