//! Who trained a run: every process with its machine, its steps and the most memory that it held. A run keeps the list in
//! `training/sessions.json`; a process that was killed is not on it.

use std::path::Path;

use chrono::Local;
use kindling::device::{DeviceChoice, OpenDevice, survey};
use kindling::error::{Error, Result};
use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, System};

use crate::commands::doctor::{memory, peak_resident};
use crate::model_files::read_optional;
use crate::output::warn;
use crate::run_dir::RunDir;
use crate::written::SESSIONS;

/// A process that trained a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// When it began, as RFC 3339 writes it.
    pub begun: String,
    /// The version of the program.
    pub version: String,
    /// The system and the processor's family, as `linux x86_64`.
    pub system: String,
    /// The processor's name, where the system tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Threads that compute side by side.
    pub threads: usize,
    /// The machine's memory, in bytes.
    pub memory_bytes: u64,
    /// The device that computed, as `--device` names it.
    pub device: String,
    /// The maker's name for it, where it is not the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// The step that it began behind.
    pub from_step: u64,
    /// The last step that it took.
    pub to_step: u64,
    /// The most of the machine's memory that the process held so far, in bytes, where the system tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
}

impl Session {
    /// This process on this machine, at a step of a run.
    pub fn begin(device: &OpenDevice, step: u64) -> Self {
        let choice = device.choice.to_string();
        let name = || survey().into_iter().find(|found| found.choice == choice).map(|found| found.name);
        Self {
            begun: Local::now().to_rfc3339(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: processor(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory().1,
            device_name: if device.choice == DeviceChoice::Cpu { None } else { name() },
            device: choice,
            from_step: step,
            to_step: step,
            peak_memory_bytes: None,
        }
    }

    /// Adds this process, which ends at a step, to the list of its run; one that took no step is none of them. A list that
    /// cannot be read stays as it is.
    ///
    /// # Errors
    /// A list that cannot be written.
    pub fn end(mut self, directory: &RunDir, step: u64) -> Result<()> {
        (self.to_step, self.peak_memory_bytes) = (step, peak_resident());
        if self.to_step == self.from_step {
            return Ok(());
        }
        let mut all = match Self::of(directory.path()) {
            Ok(all) => all,
            Err(error) => {
                warn(&format!("{error}; it stays as it is, and this process is not added to it"));
                return Ok(());
            }
        };
        // What came behind the save from which this process went on was taken anew.
        all.retain(|other| other.from_step < self.from_step);
        all.push(self);
        let json = serde_json::to_vec_pretty(&all)
            .map_err(|e| Error::Checkpoint(format!("{SESSIONS} cannot be written: {e}").into()))?;
        directory.write(SESSIONS, &json)
    }

    /// The processes that trained a run, the first one first.
    ///
    /// # Errors
    /// A list that is damaged or cannot be read.
    pub fn of(run: &Path) -> Result<Vec<Self>> {
        let path = run.join(SESSIONS);
        let Some(bytes) = read_optional(&path)? else { return Ok(Vec::new()) };
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::Checkpoint(format!("{}: the list is damaged: {e}", path.display()).into()))
    }
}

/// The processor's name.
fn processor() -> Option<String> {
    let mut system = System::new().ok()?;
    system.refresh_cpu_list(CpuRefreshKind::nothing());
    let brand = system.cpus().first()?.brand().trim().to_string();
    (!brand.is_empty()).then_some(brand)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_dir::Existing;

    fn steps(run: &Path) -> Vec<(u64, u64)> {
        Session::of(run).unwrap().iter().map(|session| (session.from_step, session.to_step)).collect()
    }

    #[test]
    fn processes_are_added_in_the_order_of_their_steps() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("run");
        let run = RunDir::create(Some(&path), "sft", Existing::Refuse, 1, &[]).unwrap();
        let device = OpenDevice::open(DeviceChoice::Cpu).unwrap();
        let from = |step: u64| Session::begin(&device, step);
        assert!(Session::of(&path).unwrap().is_empty());
        from(0).end(&run, 20).unwrap();
        from(20).end(&run, 20).unwrap();
        from(20).end(&run, 50).unwrap();
        assert_eq!(steps(&path), [(0, 20), (20, 50)], "one that took no step is left out");
        // One that went on from an earlier save takes the place of those behind it.
        from(10).end(&run, 30).unwrap();
        assert_eq!(steps(&path), [(0, 20), (10, 30)]);
        let first = &Session::of(&path).unwrap()[0];
        assert_eq!((first.device.as_str(), &first.device_name), ("cpu", &None));
        assert!(first.threads >= 1 && first.system.contains(std::env::consts::ARCH));
        std::fs::write(path.join(SESSIONS), "[{").unwrap();
        let told = Session::of(&path).unwrap_err().to_string();
        assert!(told.contains("sessions.json: the list is damaged"), "{told}");
        from(30).end(&run, 40).unwrap();
        assert_eq!(std::fs::read(path.join(SESSIONS)).unwrap(), b"[{", "it is not overwritten");
    }
}
