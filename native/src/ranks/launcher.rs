//! What started this process: `mpirun`, `mpiexec` or `srun` tell in variables how many processes they start.

use std::env;

use kindling::device::{DeviceChoice, survey};

/// How many there are: of Open MPI, of MPICH and its kin, of MVAPICH, of `srun`.
const COUNTS: [&str; 4] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"];
/// The number of this one among those of its machine.
const LOCAL: [&str; 4] =
    ["OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "MV2_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"];

/// How many processes were started together, and the variable that tells it; `None` where this one is alone.
pub fn processes() -> Option<(usize, &'static str)> {
    first_number(&COUNTS, |name| env::var(name).ok()).filter(|(count, _)| *count > 1)
}

/// The card of this process where several share a machine: each takes one of its own while there are any.
pub fn own_card(choice: DeviceChoice) -> DeviceChoice {
    let local = first_number(&LOCAL, |name| env::var(name).ok()).map_or(0, |(local, _)| local);
    let cards = |kind: &str| survey().iter().filter(|found| found.choice.starts_with(kind)).count();
    card_of(choice, local, cards)
}

/// The card of the `local`th process of a machine that has so many `cards` of a kind.
fn card_of(choice: DeviceChoice, local: usize, cards: impl Fn(&str) -> usize) -> DeviceChoice {
    let turn = |kind: &str| local % cards(kind).max(1);
    match choice {
        DeviceChoice::Cuda(0) => DeviceChoice::Cuda(turn("cuda")),
        DeviceChoice::Vulkan(0) => DeviceChoice::Vulkan(turn("vulkan")),
        other => other,
    }
}

/// The first of the variables that holds a number.
fn first_number(
    names: &[&'static str],
    read: impl Fn(&str) -> Option<String>,
) -> Option<(usize, &'static str)> {
    names.iter().find_map(|&name| read(name)?.trim().parse().ok().map(|number| (number, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_holds_a_number_counts() {
        let of = |known: &'static str| {
            let read = move |name: &str| {
                let own = known.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
                own.map(String::from)
            };
            first_number(&COUNTS, read)
        };
        assert_eq!(of("PMI_SIZE=4"), Some((4, "PMI_SIZE")));
        assert_eq!(of("OMPI_COMM_WORLD_SIZE=x SLURM_STEP_NUM_TASKS=2"), Some((2, "SLURM_STEP_NUM_TASKS")));
        assert_eq!(of("HOME=3"), None);
    }

    #[test]
    fn each_process_of_a_machine_takes_a_card_in_turn() {
        let two = |_: &str| 2;
        let cuda = |local: usize| card_of(DeviceChoice::Cuda(0), local, two);
        assert_eq!([0, 1, 2].map(cuda), [0, 1, 0].map(DeviceChoice::Cuda));
        assert_eq!(
            card_of(DeviceChoice::Cuda(0), 3, |_| 1),
            DeviceChoice::Cuda(0),
            "Slurm shows each its own"
        );
        assert_eq!(card_of(DeviceChoice::Cuda(1), 3, two), DeviceChoice::Cuda(1), "what is named is taken");
        assert_eq!(card_of(DeviceChoice::Vulkan(0), 1, two), DeviceChoice::Vulkan(1));
        assert_eq!(card_of(DeviceChoice::Cpu, 1, two), DeviceChoice::Cpu);
    }
}
