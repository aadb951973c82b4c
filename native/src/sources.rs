//! `--data`: files, directories, globs and data sets of the hub into random-access sources, and which of their rows
//! are used.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clap::Args;
use kindling::data::{
    DataOptions, Dedup, Format, KNOWN_KINDS, Source, SourceShare, TextEncoding, TextLanguage, Turns,
    Utf8Reader, decompressor, format_of, is_parquet, parquet_rows,
};
use kindling::error::{Error, Result};
use kindling::prepared::INDEX;
use kindling::text::RowKind;

use crate::failure::io_error;
use crate::{hub, output, piped, shares};

/// How the text of data files is found.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct TextArgs {
    /// The key or column that holds the text of each row, where another name than `text` does
    #[arg(long, value_name = "NAME")]
    pub text_column: Option<String>,
    /// The encoding of files that are not UTF-8: gbk, gb18030, big5, shift_jis, utf-16, windows-1252 and others
    #[arg(long, value_name = "NAME", value_parser = str::parse::<TextEncoding>)]
    pub encoding: Option<TextEncoding>,
}

/// What becomes of conversations where texts are read.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnsArgs {
    /// Make texts of conversations: what is said in turn, each on lines of its own (pretrain, distill)
    #[arg(long)]
    pub join_turns: bool,
    /// Make texts of conversations: what the chat template makes of them, all of which is trained (pretrain, distill)
    #[arg(long, conflicts_with = "join_turns")]
    pub render_turns: bool,
}

impl TurnsArgs {
    /// The library's form of it.
    pub fn turns(self) -> Turns {
        match (self.join_turns, self.render_turns) {
            (false, false) => Turns::Refused,
            (true, _) => Turns::Joined,
            (false, true) => Turns::Rendered,
        }
    }

    /// Whether rows of this kind are rendered at all; of `None` some may be.
    pub fn renders(self, rows: Option<RowKind>) -> bool {
        rows != Some(RowKind::Document) || self.render_turns
    }
}

/// Which good rows are left out, as training, `data prepare` and `data preview` do it alike.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterArgs {
    /// Leave out rows that say what an earlier one says
    #[arg(long, value_enum, num_args = 0..=1, default_value = "none", default_missing_value = "exact", value_name = "HOW")]
    pub dedup: Dedup,
    /// Leave out rows in other languages, known by their script: code and markup aside, at least half must be Han characters
    /// (zh) or words of Latin letters (en)
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LANGUAGE,…")]
    pub language: Vec<TextLanguage>,
    /// Leave out rows of fewer characters
    #[arg(long)]
    pub min_chars: Option<usize>,
    /// Leave out rows of more characters
    #[arg(long)]
    pub max_chars: Option<usize>,
}

impl FilterArgs {
    /// Options with these filters.
    pub fn onto(&self, options: DataOptions) -> DataOptions {
        DataOptions {
            dedup: self.dedup,
            languages: self.language.clone(),
            min_chars: self.min_chars,
            max_chars: self.max_chars,
            ..options
        }
    }

    /// The flags that were given.
    pub fn given(&self) -> [(&'static str, bool); 4] {
        [
            ("--dedup", self.dedup != Dedup::None),
            ("--language", !self.language.is_empty()),
            ("--min-chars", self.min_chars.is_some()),
            ("--max-chars", self.max_chars.is_some()),
        ]
    }
}

/// Which rows of a run's data are used.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct RowArgs {
    /// Use at most this many rows; sources with shares give as many of them as their share says
    #[arg(long)]
    pub limit: Option<u64>,
    /// Leave out rows that cannot be used, and count them
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// Which good rows are left out
    #[command(flatten)]
    pub filters: FilterArgs,
    /// What becomes of conversations
    #[command(flatten)]
    pub turns: TurnsArgs,
    /// How texts are found
    #[command(flatten)]
    pub reading: TextArgs,
}

impl RowArgs {
    /// The library's form of it.
    pub fn options(&self) -> DataOptions {
        self.filters.onto(DataOptions {
            limit: self.limit,
            skip_bad_rows: self.skip_bad_rows,
            turns: self.turns.turns(),
            text_column: self.reading.text_column.clone(),
            ..DataOptions::default()
        })
    }
}

/// A file on the disk; compressed ones, those in another encoding than UTF-8 and the rows of parquet files are unpacked
/// into a temporary file first, so that memory stays bounded.
struct FileSource {
    name: String,
    len: u64,
    /// What the text was decoded from.
    encoding: Option<&'static str>,
    file: Mutex<File>,
}

impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn encoding(&self) -> Option<&str> {
        self.encoding
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut file = self.file.lock().map_err(|_| std::io::Error::other("the file's lock is poisoned"))?;
        file.seek(SeekFrom::Start(offset))?;
        file.read(buffer)
    }
}

/// Opens everything that `--data` names, in the order given (a directory's files by name); `-` is the standard input.
///
/// # Errors
/// A pattern that matches nothing, a file that cannot be read, a format that is not known; an encoding for nothing but
/// parquet files, whose texts have their own.
pub fn open(patterns: &[String], encoding: Option<TextEncoding>) -> Result<Vec<Arc<dyn Source>>> {
    let mut sources = Vec::new();
    for pattern in patterns {
        sources.extend(open_named(pattern, encoding)?);
    }
    check_encoding(&sources, encoding)?;
    Ok(sources)
}

/// Files, and the sources with shares that they make up where there are any.
pub type FilesAndShares = (Vec<Arc<dyn Source>>, Vec<SourceShare>);

/// The same as [`open`] where names may have shares behind them, which are then those of all sources.
///
/// # Errors
/// As [`open`]; some sources with a share and some without.
pub fn open_mix(data: &[String], encoding: Option<TextEncoding>) -> Result<FilesAndShares> {
    let Some(named) = shares::of_all(data)? else {
        return Ok((open(data, encoding)?, Vec::new()));
    };
    let (mut sources, mut shares) = (Vec::new(), Vec::new());
    for (name, share) in named {
        let files = open_named(name, encoding)?;
        shares.push(SourceShare { name: name.to_string(), share, files: files.len() });
        sources.extend(files);
    }
    check_encoding(&sources, encoding)?;
    Ok((sources, shares))
}

/// A file whose bytes are read as they are.
///
/// # Errors
/// A file that cannot be read.
pub fn open_bytes(path: &Path) -> Result<Arc<dyn Source>> {
    let file = File::open(path).map_err(|e| io_error(path, e))?;
    let len = file.metadata().map_err(|e| io_error(path, e))?.len();
    Ok(Arc::new(FileSource { name: path.display().to_string(), len, encoding: None, file: Mutex::new(file) }))
}

fn open_named(pattern: &str, encoding: Option<TextEncoding>) -> Result<Vec<Arc<dyn Source>>> {
    if let Some(told) = Below::of(pattern)?.and_then(|below| below.told(pattern)) {
        output::warn(&told);
    }
    let open = |path: PathBuf| -> Result<Arc<dyn Source>> { Ok(Arc::new(open_file(&path, encoding)?)) };
    files(pattern)?.into_iter().map(open).collect()
}

fn check_encoding(sources: &[Arc<dyn Source>], encoding: Option<TextEncoding>) -> Result<()> {
    let given = encoding.is_some() && !sources.is_empty();
    if given && sources.iter().all(|source| is_parquet(source.name())) {
        return Err(Error::Config(vec![
            "--encoding does not act on .parquet files, whose texts are UTF-8; leave it out".into(),
        ]));
    }
    Ok(())
}

/// The files of this machine that `--data` names; those of the hub are elsewhere, and what cannot be found is told when
/// it is opened.
pub fn local_files(patterns: &[String]) -> Vec<PathBuf> {
    let local = patterns.iter().map(|pattern| shares::name_of(pattern)).filter(|name| !hub::is_address(name));
    local.filter_map(|pattern| files(pattern).ok()).flatten().collect()
}

/// The files that one of `--data` names, in the order in which they are read.
///
/// # Errors
/// As [`open`].
pub fn files(pattern: &str) -> Result<Vec<PathBuf>> {
    if hub::is_address(pattern) {
        return hub::data_files(pattern);
    }
    let path = Path::new(pattern);
    if pattern == piped::STDIN {
        return Ok(vec![path.to_path_buf()]);
    }
    if path.join(INDEX).is_file() {
        return Err(Error::Data(
            format!("{pattern}: the directory holds prepared data; a stage trains on it, and all else reads the rows that it \
                     was made of").into(),
        ));
    }
    if let Some(below) = Below::of(pattern)? {
        if below.files.is_empty() {
            let passed = below.told(pattern).map_or(String::new(), |told| format!("; {told}"));
            return Err(Error::Data(
                format!("{pattern}: the directory holds no file of data; known are {KNOWN_KINDS}{passed}")
                    .into(),
            ));
        }
        return Ok(below.files);
    }
    if path.exists() {
        return Ok(vec![path.to_path_buf()]);
    }
    let matches = glob::glob(pattern)
        .map_err(|e| Error::Data(format!("{pattern}: not a file and not a pattern ({e})").into()))?;
    let mut files: Vec<PathBuf> =
        matches.filter_map(std::result::Result::ok).filter(|path| path.is_file()).collect();
    files.sort();
    if files.is_empty() {
        let share = match shares::parted(pattern) {
            (name, Some(share)) => {
                format!("; a share, as {share} of {name}, acts where a stage trains on --data")
            }
            _ => String::new(),
        };
        return Err(Error::Data(
            format!("{pattern}: there is no such file, and no file matches it as a pattern{share}").into(),
        ));
    }
    Ok(files)
}

/// What a directory and those below it hold.
#[derive(Default)]
struct Below {
    /// The files that are read, by name.
    files: Vec<PathBuf>,
    /// Those that are not: hidden ones, what is about the data rather than of it, and those of no known kind.
    passed: Vec<String>,
    /// The directory that is looked into and those above it, links followed: a link to one of them leads in a circle.
    within: Vec<PathBuf>,
}

impl Below {
    /// Looks into a directory; `None` for what is none.
    fn of(pattern: &str) -> Result<Option<Self>> {
        let path = Path::new(pattern);
        if hub::is_address(pattern) || pattern == piped::STDIN || !path.is_dir() {
            return Ok(None);
        }
        let mut below = Self::default();
        below.look_into(path, path)?;
        below.files.sort();
        below.passed.sort();
        Ok(Some(below))
    }

    fn look_into(&mut self, root: &Path, directory: &Path) -> Result<()> {
        self.within.push(directory.canonicalize().map_err(|e| io_error(directory, e))?);
        for entry in std::fs::read_dir(directory).map_err(|e| io_error(directory, e))? {
            let path = entry.map_err(|e| io_error(directory, e))?.path();
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            let is_directory = path.is_dir();
            let own = path.file_name().map_or(String::new(), |own| own.to_string_lossy().into_owned());
            // Rows may be about anything; what tells of the others is a text, or a list of the hub.
            let is_data = match format_of(&own) {
                None => false,
                Some(Format::Text | Format::JsonArray) => !hub::is_about(&own),
                Some(_) => true,
            };
            let circles = is_directory
                && path.is_symlink()
                && path.canonicalize().is_ok_and(|target| self.within.contains(&target));
            if own.starts_with('.') || circles || !is_directory && !is_data {
                self.passed.push(if is_directory { format!("{name}/") } else { name });
            } else if is_directory {
                self.look_into(root, &path)?;
            } else {
                self.files.push(path);
            }
        }
        self.within.pop();
        Ok(())
    }

    /// What was passed over, as a sentence; `None` where nothing was.
    fn told(&self, pattern: &str) -> Option<String> {
        const NAMED: usize = 8;
        let named = self.passed.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if self.passed.len() > NAMED { ", …" } else { "" };
        let count = self.passed.len();
        (count > 0).then(|| {
            format!(
                "{pattern}: {count} hidden files, files about the data or of no known kind are passed over: {named}{more}"
            )
        })
    }
}

fn open_file(path: &Path, encoding: Option<TextEncoding>) -> Result<FileSource> {
    let (file, name) = piped::open(path)?;
    if let Some(plain) = decompressor(&name, &file)? {
        return unpacked(name, plain, encoding, "; the file is damaged or the disk is full");
    }
    let len = file.metadata().map_err(|e| io_error(path, e))?.len();
    let is_utf8 = is_utf8(&file, encoding).map_err(|e| io_error(path, e))?;
    if !is_parquet(&name) && !is_utf8 {
        return unpacked(name, &file, encoding, "");
    }
    let source = FileSource { name, len, encoding: None, file: Mutex::new(file) };
    match is_parquet(source.name()) {
        true => unpacked(source.name.clone(), parquet_rows(Arc::new(source))?, None, ""),
        false => Ok(source),
    }
}

/// Whether a file is read as it is; the next byte to be read is its first one again.
fn is_utf8(mut file: &File, encoding: Option<TextEncoding>) -> std::io::Result<bool> {
    if let Some(encoding) = encoding {
        return Ok(encoding.is_utf8());
    }
    let mut head = Vec::new();
    file.take(4).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(TextEncoding::of_mark(&head).is_none())
}

/// Keeps a stream in a temporary file, in UTF-8, under the name of the file that it is made from; an error says why,
/// and what else may be the cause.
fn unpacked(
    name: String,
    stream: impl Read,
    encoding: Option<TextEncoding>,
    cause: &str,
) -> Result<FileSource> {
    let mut temporary = tempfile::tempfile().map_err(|e| io_error(&std::env::temp_dir(), e))?;
    let mut text = Utf8Reader::new(stream, encoding);
    let len = std::io::copy(&mut text, &mut temporary)
        .map_err(|e| Error::Data(format!("{name}: cannot be unpacked ({e}){cause}").into()))?;
    if let Some(doubt) = text.doubt() {
        output::warn(&format!("{name} {doubt}"));
    }
    let encoding = text.encoding().map(TextEncoding::name);
    Ok(FileSource { name, len, encoding, file: Mutex::new(temporary) })
}
