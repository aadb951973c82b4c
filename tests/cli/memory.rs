//! Training reads its data as a stream: memory does not grow with the file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::place::{Place, document};

/// Writes documents until the file has that many bytes.
fn generate(path: &Path, bytes: usize) {
    let block: String = (0..8192).map(document).collect();
    let mut file = BufWriter::new(File::create(path).unwrap());
    for _ in 0..bytes.div_ceil(block.len()) {
        file.write_all(block.as_bytes()).unwrap();
    }
    file.flush().unwrap();
}

#[test]
fn four_times_the_file_takes_the_same_memory() {
    if !cfg!(target_os = "linux") {
        eprintln!("SKIPPED: a process's peak memory is read from /proc, which only Linux has");
        return;
    }
    let place = Place::with_model();
    let peak = |mebibytes: usize| {
        generate(&place.path("large.jsonl"), mebibytes << 20);
        let line =
            "pretrain --model model --data large.jsonl --steps 2 --batch-size 2 --max-seq-len 32 --out";
        let outcome = place.run(&format!("{line} run-{mebibytes}")).ok();
        place.remove("large.jsonl");
        outcome.peak_kib as f64
    };
    let (small, large) = (peak(64), peak(256));
    assert!(small > 1000.0, "{small} KiB cannot be");
    assert!((large - small).abs() < 0.15 * small, "64 MB peak at {small} KiB, 256 MB at {large} KiB");
}
