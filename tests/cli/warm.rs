//! `doctor --warm`: nothing on the processor, and on a graphics device kernels that the next process finds.

use std::time::Duration;

use crate::place::Place;

/// On a software adapter a kernel is compiled for seconds.
const LONG: Duration = Duration::from_secs(900);

#[test]
fn the_processor_has_nothing_to_warm() {
    let place = Place::new();
    let lines = place.run("doctor --warm --device cpu --json").ok().json();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!((&lines[1]["event"], &lines[1]["kernels"]), (&"warm".into(), &0.into()));
    assert!(place.run("doctor --warm --device cpu").ok().stdout.contains("nothing to warm"));
}

/// As parity: on the device that `KINDLING_PARITY` names.
#[test]
fn a_second_warming_finds_what_the_first_kept() {
    let Ok(device) = std::env::var("KINDLING_PARITY") else {
        eprintln!("SKIPPED: warm: KINDLING_PARITY names no device (vulkan or cuda)");
        return;
    };
    let place = Place::new();
    let warm =
        format!("doctor --warm --device {device} --preset nano --what prefill --max-seq-len 16 --json");
    let features = place.run("doctor --json").ok().result()["features"].to_string();
    if !["vulkan", "metal", "cuda"].iter().any(|feature| features.contains(feature)) {
        place.run(&warm).expect(2, &["this build keeps no kernels", "--features vulkan"]);
        return;
    }
    let kept = place.path("kernels-here");
    let env = [("KINDLING_CACHE", kept.to_str().unwrap()), ("CUBECL_AUTOTUNE_LEVEL", "minimal")];
    let [first, second] = [(), ()].map(|()| {
        let lines = place.start_with_env(&env, &warm).finish_within(LONG).ok().json();
        assert_eq!(lines.len(), 3, "{lines:?}");
        let (warmed, all) = (&lines[1], &lines[2]);
        assert_eq!(
            (&warmed["what"], &warmed["batch"], &warmed["seq"]),
            (&"prefill".into(), &1.into(), &16.into())
        );
        assert!(all["folder"].as_str().unwrap().starts_with(kept.to_str().unwrap()), "{all}");
        (
            warmed["first_s"].as_f64().unwrap(),
            all["kept_bytes"].as_u64().unwrap(),
            all["held_bytes"].as_u64().unwrap(),
        )
    });
    assert!(first.1 > 0 && second.2 > 0, "{first:?} {second:?}");
    assert!(second.1 < first.1 / 2, "the second keeps little that is new: {first:?} {second:?}");
    assert!(second.0 < first.0, "{first:?} {second:?}");
}
