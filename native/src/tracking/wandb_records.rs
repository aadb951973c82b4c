//! Records of Weights & Biases, as far as they are written here, with the numbers of their fields in
//! <https://github.com/wandb/wandb/blob/main/wandb/proto/wandb_internal.proto>. A field of a `oneof` is optional here, which
//! is the same on the wire.

use prost::Message;
use serde_json::Value;

/// One record; one of its parts stands in it.
#[derive(Clone, PartialEq, Message)]
pub struct Record {
    /// Its number, from 1.
    #[prost(int64, tag = "1")]
    pub num: i64,
    /// What was measured at a step.
    #[prost(message, optional, tag = "2")]
    pub history: Option<History>,
    /// The newest values.
    #[prost(message, optional, tag = "3")]
    pub summary: Option<Items>,
    /// Files that belong to the run.
    #[prost(message, optional, tag = "6")]
    pub files: Option<Files>,
    /// What the run is.
    #[prost(message, optional, tag = "17")]
    pub run: Option<RunRecord>,
    /// How it ended.
    #[prost(message, optional, tag = "18")]
    pub exit: Option<Exit>,
    /// Who wrote the file.
    #[prost(message, optional, tag = "21")]
    pub header: Option<Header>,
    /// Where it ran.
    #[prost(message, optional, tag = "26")]
    pub environment: Option<Environment>,
}

/// `HistoryRecord`.
#[derive(Clone, PartialEq, Message)]
pub struct History {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub item: Vec<Item>,
    /// The step.
    #[prost(message, optional, tag = "2")]
    pub step: Option<Step>,
}

/// `HistoryStep`.
#[derive(Clone, PartialEq, Message)]
pub struct Step {
    /// Its number.
    #[prost(int64, tag = "1")]
    pub num: i64,
}

/// `SummaryRecord` and `ConfigRecord`: values that take the place of those of the same name.
#[derive(Clone, PartialEq, Message)]
pub struct Items {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub update: Vec<Item>,
}

/// `HistoryItem`, `SummaryItem` and `ConfigItem`.
#[derive(Clone, PartialEq, Message)]
pub struct Item {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value as JSON, in which numbers may be `NaN` and `Infinity`, too.
    #[prost(string, tag = "16")]
    pub value_json: String,
}

/// `FilesRecord`.
#[derive(Clone, PartialEq, Message)]
pub struct Files {
    /// Each of them.
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<FileItem>,
}

/// `FilesItem`.
#[derive(Clone, PartialEq, Message)]
pub struct FileItem {
    /// Its path below `files`.
    #[prost(string, tag = "1")]
    pub path: String,
}

/// `RunRecord`.
#[derive(Clone, PartialEq, Message)]
pub struct RunRecord {
    /// What it is known by for ever.
    #[prost(string, tag = "1")]
    pub run_id: String,
    /// The project that it is put into.
    #[prost(string, tag = "3")]
    pub project: String,
    /// Its settings.
    #[prost(message, optional, tag = "4")]
    pub config: Option<Items>,
    /// What kind of run.
    #[prost(string, tag = "7")]
    pub job_type: String,
    /// What it is called.
    #[prost(string, tag = "8")]
    pub display_name: String,
    /// The machine's name.
    #[prost(string, tag = "13")]
    pub host: String,
    /// When it began.
    #[prost(message, optional, tag = "17")]
    pub start_time: Option<Timestamp>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, PartialEq, Message)]
pub struct Timestamp {
    /// Whole seconds since 1970.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// And nanoseconds.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// `RunExitRecord`.
#[derive(Clone, PartialEq, Message)]
pub struct Exit {
    /// 0 where all is well.
    #[prost(int32, tag = "1")]
    pub exit_code: i32,
    /// Seconds.
    #[prost(int32, tag = "2")]
    pub runtime: i32,
}

/// `HeaderRecord`.
#[derive(Clone, PartialEq, Message)]
pub struct Header {
    /// The program that wrote it.
    #[prost(message, optional, tag = "1")]
    pub version_info: Option<Version>,
}

/// `VersionInfo`.
#[derive(Clone, PartialEq, Message)]
pub struct Version {
    /// Its name and version.
    #[prost(string, tag = "1")]
    pub producer: String,
}

/// `EnvironmentRecord`, of which `wandb-metadata.json` is made.
#[derive(Clone, PartialEq, Message)]
pub struct Environment {
    /// The system.
    #[prost(string, tag = "1")]
    pub os: String,
    /// When the run began.
    #[prost(message, optional, tag = "3")]
    pub started_at: Option<Timestamp>,
    /// The words behind the program's name.
    #[prost(string, repeated, tag = "5")]
    pub args: Vec<String>,
    /// The program.
    #[prost(string, tag = "6")]
    pub program: String,
    /// The machine's name.
    #[prost(string, tag = "12")]
    pub host: String,
    /// Threads that compute side by side.
    #[prost(uint32, tag = "16")]
    pub cpu_count: u32,
    /// Who writes: the run.
    #[prost(string, tag = "199")]
    pub writer_id: String,
}

impl Timestamp {
    /// Of seconds since 1970.
    pub fn of(time: f64) -> Self {
        Self { seconds: time.floor() as i64, nanos: (time.fract() * 1e9) as i32 }
    }
}

impl Item {
    /// A value of any kind.
    pub fn of(key: &str, value: &Value) -> Self {
        Self { key: key.to_string(), value_json: value.to_string() }
    }

    /// A number, which need not be finite.
    pub fn number(key: &str, value: f64) -> Self {
        let value_json = match value {
            value if value.is_nan() => "NaN".into(),
            value if value.is_infinite() => (if value > 0.0 { "Infinity" } else { "-Infinity" }).into(),
            value => Value::from(value).to_string(),
        };
        Self { key: key.to_string(), value_json }
    }
}
