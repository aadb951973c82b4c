//! HTML files that verbs write: each takes only the place of one that the same verb wrote, and only where that is asked for.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::disk::{check_place, new_file, replace, sync_dir};
use crate::failure::{Failure, io_error};

/// Where a file of ours says what it is, in bytes.
const HEAD: u64 = 1024;

/// A kind of file.
#[derive(Clone, Copy, Debug)]
pub struct HtmlFile {
    /// What stands in its head, by which it is known again.
    pub generator: &'static str,
    /// What it holds.
    pub holds: &'static str,
    /// The verb that writes it.
    pub verb: &'static str,
}

impl HtmlFile {
    /// Refuses a place that holds something else, or one of these that is not to be replaced.
    ///
    /// # Errors
    /// What stands there, and what to do; a file that cannot be read; a place that cannot be written.
    pub fn check(self, out: &Path, overwrite: bool) -> Result<(), Failure> {
        if !out.exists() && !out.is_symlink() {
            return Ok(check_place(out)?);
        }
        let Self { holds, verb, .. } = self;
        let refused = match (self.is_one(out)?, overwrite) {
            (true, true) => return Ok(check_place(out)?),
            (true, false) => format!("already holds {holds}; add --overwrite to replace what is there"),
            (false, _) => format!("is no file that `{verb}` wrote; choose another one"),
        };
        Err(Failure::Usage(format!("--out {} {refused}", out.display())))
    }

    fn is_one(self, out: &Path) -> Result<bool, Failure> {
        if !out.is_file() {
            return Ok(false);
        }
        let mut head = Vec::new();
        let read = File::open(out).and_then(|file| file.take(HEAD).read_to_end(&mut head));
        read.map_err(|e| Failure::Work(io_error(out, e)))?;
        Ok(String::from_utf8_lossy(&head).contains(self.generator))
    }

    /// Writes the file, which appears at once; what came there since it was checked does not give way unasked.
    ///
    /// # Errors
    /// A place that is taken or cannot be written.
    pub fn write(self, out: &Path, html: &str, overwrite: bool) -> Result<(), Failure> {
        self.check(out, overwrite)?;
        if !out.exists() && !out.is_symlink() {
            return Ok(new_file(out, html.as_bytes())?);
        }
        replace(out, html.as_bytes())?;
        sync_dir(out.parent().unwrap_or(out));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTES: HtmlFile = HtmlFile { generator: "<meta notes>", holds: "notes", verb: "note" };

    fn refused(result: Result<(), Failure>) -> String {
        match result {
            Err(Failure::Usage(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_a_file_of_its_own_gives_way_and_only_where_that_is_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("new/notes.html");
        NOTES.check(&out, false).unwrap();
        NOTES.write(&out, "<meta notes>1", false).unwrap();
        assert!(
            refused(NOTES.write(&out, "<meta notes>2", false))
                .contains("already holds notes; add --overwrite")
        );
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "<meta notes>1");
        NOTES.write(&out, "<meta notes>2", true).unwrap();
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "<meta notes>2");
        let other = place.path().join("other.html");
        std::fs::write(&other, "mine").unwrap();
        for overwrite in [false, true] {
            assert!(refused(NOTES.write(&other, "x", overwrite)).contains("no file that `note` wrote"));
            assert!(refused(NOTES.check(place.path(), overwrite)).contains("no file that `note` wrote"));
        }
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "mine");
        // Nothing is left beside them.
        let names = std::fs::read_dir(out.parent().unwrap()).unwrap().count();
        assert_eq!((names, std::fs::read_dir(place.path()).unwrap().count()), (1, 2));
    }
}
