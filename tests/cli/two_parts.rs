//! A run in two parts, and one that was killed: what is stored equals what an unbroken run stores.

use crate::place::Place;

/// The file of what a run trains.
fn weights(command: &str) -> &'static str {
    let adapts = command.starts_with("lora") || command.contains("--lora");
    if adapts { "adapter_model.safetensors" } else { "model.safetensors" }
}

fn verb(command: &str) -> &str {
    command.split(' ').next().unwrap_or_default()
}

/// Weights, optimizer and logged steps of both runs, with what else the stage reports.
fn equal(place: &Place, command: &str, reported: &[&str]) {
    for file in [weights(command), "training/optimizer.safetensors"] {
        let equal = place.read(&format!("whole/{file}")) == place.read(&format!("parts/{file}"));
        assert!(equal, "{file} differs after: {command}");
    }
    assert_eq!(place.logged_steps("whole"), place.logged_steps("parts"), "{command}");
    let told = |run: &str| {
        let steps = crate::place::steps(place, run).into_iter();
        steps.map(|line| reported.iter().map(|name| line[*name].as_f64()).collect()).collect::<Vec<Vec<_>>>()
    };
    assert_eq!(told("whole"), told("parts"), "{command}");
}

/// Runs the command once in one go and once in two parts, and compares all that is stored.
pub fn compare(place: &Place, command: &str, stop_after: u64, reported: &[&str]) {
    for run in ["whole", "parts"].into_iter().filter(|run| place.exists(run)) {
        place.remove(run);
    }
    place.run(&format!("{command} --out whole")).ok();
    place.run(&format!("{command} --out parts --stop-after {stop_after}")).ok();
    place.run(&format!("{} --resume --out parts", verb(command))).ok();
    equal(place, command, reported);
}

/// Kills the command on its way, lets it go on from its last save, and compares what it becomes with an unbroken run. The
/// command must save often and not end of itself.
pub fn compare_killed(place: &Place, command: &str, reported: &[&str]) {
    let running = place.start(&format!("{command} --out parts"));
    place.wait_for("two saves", || place.logged("parts").matches(r#""event":"save""#).count() >= 2);
    running.kill();
    let last = place.checkpoints("parts").pop().unwrap() + 4;
    place.run(&format!("{} --resume --out parts --stop-after {last}", verb(command))).ok();
    place.run(&format!("{command} --out whole --stop-after {last}")).ok();
    equal(place, command, reported);
}
