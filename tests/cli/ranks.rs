//! Several processes that train one run: refused where the build has no MPI, and with it the run of one process.

#[cfg(not(feature = "mpi"))]
#[test]
fn without_mpi_processes_that_were_started_together_are_refused() {
    let place = crate::place::Place::with_model();
    let line = format!("pretrain --model model --data docs.jsonl --out run {}", crate::place::SHORT);
    for variable in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"] {
        let started = |count: &str| place.start_with_env(&[(variable, count)], &line).finish();
        let parts = ["2 processes were started together", variable, "built without MPI", "--features mpi"];
        started("2").expect(2, &parts);
        assert!(!place.exists("run"), "nothing is written");
    }
    place.start_with_env(&[("OMPI_COMM_WORLD_SIZE", "1")], &line).finish().ok();
    let doctor = place.run("doctor").ok();
    assert!(doctor.stdout.contains("not built in: mpi"), "{doctor}");
    for alone in ["sft --out example", "quickstart --out chain", "serve --model model --train --port 0"] {
        let refused = place.start_with_env(&[("PMI_SIZE", "3")], alone).finish();
        refused.expect(2, &["3 processes were started together", "is done by one"]);
    }
}

#[cfg(feature = "mpi")]
mod with_mpi {
    use std::process::Command;
    use std::time::Duration;

    use crate::harness::{Outcome, Running};
    use crate::place::{Place, number, steps};

    /// As root, more processes than cores, on any of them: Open MPI's settings.
    const SETTINGS: [(&str, &str); 5] = [
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
        ("OMPI_MCA_hwloc_base_binding_policy", "none"),
        ("RAYON_NUM_THREADS", "1"),
    ];
    const END: Duration = Duration::from_secs(60);
    const NEW: &str = "pretrain --model model --data docs.jsonl --batch-size 5 --max-seq-len 32 --log-every 1 \
                       --learning-rate 1e-4 --device cpu";

    /// Two processes that note their numbers.
    const NOTING: [&str; 7] = [
        "mpirun",
        "-n",
        "2",
        "sh",
        "-c",
        "echo $$ > pid-${OMPI_COMM_WORLD_RANK:-$PMI_RANK}; exec \"$@\"",
        "--",
    ];

    /// Sends a signal to rank 1.
    fn signal(place: &Place, signal: &str) {
        let pid = place.text("pid-1");
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
    }

    fn has_mpirun() -> bool {
        let found =
            Command::new("mpirun").arg("--version").output().is_ok_and(|found| found.status.success());
        if !found {
            eprintln!("SKIPPED: there is no mpirun here");
        }
        found
    }

    fn start(place: &Place, wrapper: &[&str], line: &str) -> Running {
        let words: Vec<&str> = line.split_whitespace().collect();
        Running::start_with_env(place.root(), &SETTINGS, wrapper, &words)
    }

    fn on_ranks(place: &Place, ranks: &str, line: &str) -> Outcome {
        start(place, &["mpirun", "-n", ranks], line).finish()
    }

    #[test]
    fn ranks_train_the_run_of_one_process_and_go_on_with_another_number() {
        if !has_mpirun() {
            return;
        }
        let place = Place::with_model();
        let run = format!("{NEW} --steps 6 --val-split 0.1 --eval-every 3");
        place.run(&format!("{run} --out one")).ok();
        on_ranks(&place, "2", &format!("{run} --out many --stop-after 2"))
            .expect(0, &["2 processes train it", "between the ranks went"]);
        assert_eq!(place.checkpoints("many"), [2]);
        let shared = "pretrain --resume --out many --stop-after 4 --shard-optimizer --device cpu";
        on_ranks(&place, "3", shared).ok();
        place.run("pretrain --resume --out many").ok();
        let (one, many) = (steps(&place, "one"), steps(&place, "many"));
        assert_eq!((one.len(), many.len()), (6, 6), "each step is told once");
        for (one, many) in one.iter().zip(&many) {
            for name in ["step", "loss", "lr", "grad_norm", "tokens"] {
                let (one, many) = (number(one, name), number(many, name));
                assert!((one - many).abs() < 2e-6 * one.abs().max(1.0), "{name}: {one} {many}");
            }
        }
        place.run("score --model many --tokens 1,2,3").ok();
    }

    #[test]
    fn a_stop_saves_once_and_all_end() {
        if !has_mpirun() {
            return;
        }
        let place = Place::with_model();
        let running = start(&place, &NOTING, &format!("{NEW} --steps 1000000 --out run"));
        place.wait_for("some steps", || place.logged("run").lines().count() > 3);
        // One that stores nothing is told.
        signal(&place, "-TERM");
        let outcome = running.finish_within(END);
        assert_ne!(outcome.code, Some(0), "{outcome}");
        assert!(outcome.stderr.contains("--resume --out run"), "{outcome}");
        let last = place.checkpoints("run").pop().unwrap();
        let end = place.log("run").pop().unwrap();
        assert_eq!((&end["event"], &end["step"]), (&"save".into(), &last.into()));
        place.run(&format!("pretrain --resume --out run --stop-after {}", last + 1)).ok();
    }

    #[test]
    fn ranks_that_differ_say_in_what() {
        if !has_mpirun() {
            return;
        }
        let place = Place::with_model();
        let other = NEW.replace("1e-4", "2e-4");
        let line = format!(
            "{NEW} --steps 3 --out run : -n 1 {} {other} --steps 3 --out run",
            env!("CARGO_BIN_EXE_kindling")
        );
        let outcome = start(&place, &["mpirun", "-n", "1"], &line).finish_within(END);
        assert_ne!(outcome.code, Some(0), "{outcome}");
        let told = "rank 1 differs from rank 0 in the setting learning-rate: 0.0002 and not 0.0001";
        assert!(outcome.stderr.contains(told), "{outcome}");
        assert!(place.checkpoints("run").is_empty());
    }

    #[test]
    fn a_rank_that_is_killed_ends_the_job() {
        if !has_mpirun() {
            return;
        }
        let place = Place::with_model();
        let running = start(&place, &NOTING, &format!("{NEW} --steps 1000000 --save-every 2 --out run"));
        place.wait_for_save("run");
        signal(&place, "-9");
        let outcome = running.finish_within(END);
        assert_ne!(outcome.code, Some(0), "{outcome}");
        let told = format!("{}{}", outcome.stdout, outcome.stderr).to_lowercase();
        assert!(told.contains("rank 1"), "the launcher names it: {outcome}");
        place.run("score --model run --tokens 1,2,3").ok();
    }
}
