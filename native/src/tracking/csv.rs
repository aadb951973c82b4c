//! A table of all measures: a row for every logged step, a column for every measure.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use kindling::error::{Error, Result};

use super::watched::Watched;
use super::{Begins, Moment, Tracker};
use crate::disk::replace;
use crate::failure::io_error;
use crate::model_files::read_optional;

/// The columns that every table has, before those of the measures.
const OWN: [&str; 2] = ["step", "time"];

/// A table that is written.
#[derive(Debug)]
pub struct Csv {
    path: PathBuf,
    file: File,
    watched: Watched,
    /// What was not told yet.
    remarks: Vec<String>,
    /// The measures that have columns, in their order.
    columns: Vec<String>,
    /// The newest row.
    row: Option<Row>,
}

/// A row that may still be added to.
#[derive(Debug)]
struct Row {
    /// Where it begins in the file.
    place: u64,
    at: Moment,
    values: Vec<Option<f64>>,
}

impl Csv {
    /// Begins a table, or goes on with one, which is cut behind the step that the run goes on from.
    ///
    /// # Errors
    /// A file of another kind, or one that cannot be written.
    pub fn open(path: &Path, begins: Begins) -> Result<Self> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(|e| io_error(parent, e))?;
        }
        let kept = match begins {
            Begins::New | Begins::Anew => None,
            Begins::Behind(step) => {
                read_optional(path)?.map(|bytes| (String::from_utf8_lossy(&bytes).into_owned(), step))
            }
        };
        let (columns, text) = match kept.filter(|(text, _)| !text.is_empty()) {
            None => (Vec::new(), format!("{}\n", OWN.join(","))),
            Some((text, step)) => cut(&text, step).ok_or_else(|| {
                let told =
                    format!("{}: not a table of a run; move it away, or name another --csv", path.display());
                Error::Data(told.into())
            })?,
        };
        replace(path, text.as_bytes())?;
        let (file, watched) = append(path)?;
        Ok(Self { path: path.to_path_buf(), file, watched, remarks: Vec::new(), columns, row: None })
    }

    /// Goes on in a new table with the same columns, where somebody took this one away or changed it: what lies there may be
    /// somebody's, and stays.
    fn go_on_elsewhere(&mut self, what: &str) -> Result<()> {
        let before = self.path.display().to_string();
        self.path = free(&self.path);
        if let Some(parent) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(|e| io_error(parent, e))?;
        }
        let own = OWN.iter().copied().chain(self.columns.iter().map(String::as_str));
        let head = own.collect::<Vec<_>>().join(",") + "\n";
        replace(&self.path, head.as_bytes())?;
        (self.file, self.watched) = append(&self.path)?;
        self.row = None;
        self.remarks.push(format!(
            "--csv: {before} {what} while the run wrote it; the rows that it held are not written again, and the run goes on in {}",
            self.path.display()
        ));
        Ok(())
    }

    /// Adds columns, which are empty in the rows that are there.
    fn widen(&mut self, new: &[String]) -> Result<()> {
        let text = fs::read_to_string(&self.path).map_err(|e| io_error(&self.path, e))?;
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default();
        let empty = ",".repeat(new.len());
        let mut wider = format!("{head},{}\n", new.join(","));
        let mut place = wider.len() as u64;
        for line in lines {
            // The newest row is the last one.
            place = wider.len() as u64;
            wider += &format!("{line}{empty}\n");
        }
        replace(&self.path, wider.as_bytes())?;
        (self.file, self.watched) = append(&self.path)?;
        self.columns.extend_from_slice(new);
        if let Some(row) = &mut self.row {
            row.place = place;
            row.values.resize(self.columns.len(), None);
        }
        Ok(())
    }

    /// Writes the newest row in its place.
    fn write(&mut self) -> Result<()> {
        let Some(row) = &self.row else { return Ok(()) };
        let value = |value: &Option<f64>| value.map_or(String::new(), |value| value.to_string());
        let values: Vec<String> = row.values.iter().map(value).collect();
        let own = format!("{},{}", row.at.step, row.at.time);
        let line = [vec![own], values].concat().join(",") + "\n";
        let place = row.place;
        // A new row stands behind all others; to cut there would stretch what somebody cut in this moment.
        let cut = if place < self.watched.length() { self.file.set_len(place) } else { Ok(()) };
        let written = cut.and_then(|()| self.file.write_all(line.as_bytes()));
        written.map_err(|e| io_error(&self.path, e))?;
        self.watched.has(place + line.len() as u64);
        Ok(())
    }
}

impl Tracker for Csv {
    fn name(&self) -> String {
        format!("--csv {}", self.path.display())
    }

    fn numbers(&mut self, at: Moment, numbers: &[(String, f64)]) -> Result<()> {
        if let Some(what) = self.watched.changed() {
            self.go_on_elsewhere(&what)?;
        }
        let new: Vec<String> = numbers
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !self.columns.contains(name))
            .cloned()
            .collect();
        if !new.is_empty() {
            self.widen(&new)?;
        }
        if self.row.as_ref().is_none_or(|row| row.at.step != at.step) {
            let place = self.file.seek(SeekFrom::End(0)).map_err(|e| io_error(&self.path, e))?;
            self.row = Some(Row { place, at, values: vec![None; self.columns.len()] });
        }
        if let Some(row) = &mut self.row {
            for (name, value) in numbers {
                if let Some(column) = self.columns.iter().position(|column| column == name) {
                    row.values[column] = Some(*value);
                }
            }
        }
        self.write()
    }

    fn remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    fn files(&self) -> Vec<(PathBuf, u64)> {
        vec![self.watched.written()]
    }

    fn table(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

/// The name of a table where nothing is: this one, or with a number.
fn free(path: &Path) -> PathBuf {
    let (stem, end) = (path.file_stem().unwrap_or_default().to_string_lossy(), path.extension());
    let end = end.map_or(String::new(), |end| format!(".{}", end.to_string_lossy()));
    let numbered = (2..u32::MAX).map(|number| path.with_file_name(format!("{stem}-{number}{end}")));
    let mut names = std::iter::once(path.to_path_buf()).chain(numbered);
    names.find(|name| fs::symlink_metadata(name).is_err()).unwrap_or_else(|| path.to_path_buf())
}

/// Whether a text is a table of a run.
pub fn is_table(text: &str) -> bool {
    text.lines().next().is_some_and(|head| head.split(',').take(OWN.len()).eq(OWN))
}

/// The columns of a table, and its rows up to a step; `None` for a text that is no table.
fn cut(text: &str, step: u64) -> Option<(Vec<String>, String)> {
    let head = text.lines().next().filter(|_| is_table(text))?;
    let columns: Vec<String> = head.split(',').skip(OWN.len()).map(String::from).collect();
    let mut kept = format!("{head}\n");
    // A row without its end was torn.
    for row in text.split_inclusive('\n').skip(1).filter(|row| row.ends_with('\n')) {
        let (mut fields, count) = (row.split(','), row.split(',').count());
        let at = fields.next().and_then(|at| at.parse::<u64>().ok());
        if count == columns.len() + OWN.len() && at.is_some_and(|at| at <= step) {
            kept += row;
        }
    }
    Some((columns, kept))
}

fn append(path: &Path) -> Result<(File, Watched)> {
    let file = File::options().append(true).open(path).map_err(|e| io_error(path, e))?;
    let watched = Watched::of(path, &file)?;
    Ok((file, watched))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: u64) -> Moment {
        Moment { step, time: step as f64 + 0.5 }
    }

    fn tell(csv: &mut Csv, step: u64, numbers: &[(&str, f64)]) {
        let numbers: Vec<_> = numbers.iter().map(|(name, value)| ((*name).to_string(), *value)).collect();
        csv.numbers(at(step), &numbers).unwrap();
    }

    #[test]
    fn a_step_has_one_row_and_a_measure_one_column_whenever_it_comes() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("deep/m.csv");
        let read = || fs::read_to_string(&path).unwrap();
        let mut csv = Csv::open(&path, Begins::New).unwrap();
        assert_eq!(read(), "step,time\n");
        tell(&mut csv, 1, &[("train/loss", 2.5), ("train/lr", 0.001)]);
        tell(&mut csv, 2, &[("train/loss", f64::NAN), ("train/lr", 0.002)]);
        assert_eq!(read(), "step,time,train/loss,train/lr\n1,1.5,2.5,0.001\n2,2.5,NaN,0.002\n");
        tell(&mut csv, 2, &[("eval/loss", 3.0)]);
        tell(&mut csv, 3, &[("train/loss", 1.0)]);
        let first = "step,time,train/loss,train/lr,eval/loss\n1,1.5,2.5,0.001,\n2,2.5,NaN,0.002,3\n";
        assert_eq!(read(), format!("{first}3,3.5,1,,\n"));
        drop(csv);
        // A run that goes on from step 2; the last row was torn.
        fs::write(&path, format!("{}4,4.5,0", read())).unwrap();
        let mut csv = Csv::open(&path, Begins::Behind(2)).unwrap();
        assert_eq!(read(), first);
        tell(&mut csv, 3, &[("train/loss", 0.5)]);
        tell(&mut csv, 3, &[("eval/loss", 0.25)]);
        assert_eq!(read(), format!("{first}3,3.5,0.5,,0.25\n"));
        fs::remove_file(&path).unwrap();
        Csv::open(&path, Begins::Behind(3)).unwrap();
        assert_eq!(read(), "step,time\n");
    }

    #[test]
    fn a_table_that_is_taken_away_or_changed_is_told_and_followed_by_another() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("m.csv");
        let mut csv = Csv::open(&path, Begins::New).unwrap();
        tell(&mut csv, 1, &[("train/loss", 2.5)]);
        assert!(csv.remarks().is_empty());
        // Somebody begins it anew, as a shell's `>` does.
        fs::write(&path, "mine\n").unwrap();
        tell(&mut csv, 2, &[("train/loss", 2.0)]);
        let told = csv.remarks();
        assert!(
            told.len() == 1 && told[0].contains("m.csv was cut from") && told[0].contains("m-2.csv"),
            "{told:?}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine\n", "it stays as it is");
        let other = place.path().join("m-2.csv");
        assert_eq!(fs::read_to_string(&other).unwrap(), "step,time,train/loss\n2,2.5,2\n");
        fs::remove_file(&other).unwrap();
        tell(&mut csv, 3, &[("train/loss", 1.0), ("eval/loss", 4.0)]);
        assert!(csv.remarks()[0].contains("was removed"));
        assert_eq!(fs::read_to_string(&other).unwrap(), "step,time,train/loss,eval/loss\n3,3.5,1,4\n");
        assert_eq!(csv.table(), Some(other.as_path()));
        tell(&mut csv, 3, &[("eval/loss", 5.0)]);
        assert!(csv.remarks().is_empty());
        assert_eq!(csv.files(), [(other.clone(), fs::metadata(&other).unwrap().len())]);
    }

    #[test]
    fn a_file_of_others_stays() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("m.csv");
        fs::write(&path, "name,age\na,1\n").unwrap();
        let told = Csv::open(&path, Begins::Behind(1)).unwrap_err().to_string();
        assert!(told.contains("m.csv: not a table of a run"), "{told}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "name,age\na,1\n");
        assert!(is_table("step,time\n") && is_table("step,time,train/loss\n1,") && !is_table("step\n"));
        assert!(!is_table(""));
    }
}
