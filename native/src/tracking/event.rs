//! TensorBoard's messages, as far as they are written here, with the numbers of their fields in
//! <https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto> (`event.proto`, `summary.proto`,
//! `tensor.proto`) and `plugins/hparams/plugin_data.proto`. A field of a `oneof` is optional here, which is the same on the
//! wire.

use std::collections::BTreeMap;

use prost::Message;

/// What the first event of a file says that it is.
pub const VERSION: &str = "brain.Event:2";
/// `SessionLog.status`: events at this step and behind it give way.
pub const START: i32 = 1;
/// `DataType` of numbers.
const DT_FLOAT: i32 = 1;
/// `DataType` of texts.
const DT_STRING: i32 = 7;
/// The tag that hyperparameters are known by.
const HPARAMS: &str = "_hparams_/session_start_info";
/// The tag that their run's end is known by.
const HPARAMS_END: &str = "_hparams_/session_end_info";

/// One event.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// Steps taken.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// [`VERSION`], in the first event alone.
    #[prost(string, optional, tag = "3")]
    pub file_version: Option<String>,
    /// What is shown.
    #[prost(message, optional, tag = "5")]
    pub summary: Option<Summary>,
    /// That a run goes on.
    #[prost(message, optional, tag = "7")]
    pub session_log: Option<SessionLog>,
}

/// Values of one moment.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// All of them.
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// A value with its name.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// Its name.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// A number.
    #[prost(float, optional, tag = "2")]
    pub simple_value: Option<f32>,
    /// Anything else.
    #[prost(message, optional, tag = "8")]
    pub tensor: Option<Tensor>,
    /// What shows it.
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<Metadata>,
}

/// `SummaryMetadata`.
#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    /// Which plugin.
    #[prost(message, optional, tag = "1")]
    pub plugin_data: Option<PluginData>,
}

/// `SummaryMetadata.PluginData`.
#[derive(Clone, PartialEq, Message)]
pub struct PluginData {
    /// The plugin's name.
    #[prost(string, tag = "1")]
    pub plugin_name: String,
    /// A message of its own.
    #[prost(bytes = "vec", tag = "2")]
    pub content: Vec<u8>,
}

/// `TensorProto` of numbers or texts.
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    /// Their type.
    #[prost(int32, tag = "1")]
    pub dtype: i32,
    /// Their number.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
    /// The numbers.
    #[prost(float, repeated, tag = "5")]
    pub float_val: Vec<f32>,
    /// The texts in UTF-8.
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub string_val: Vec<Vec<u8>>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    /// Each dimension.
    #[prost(message, repeated, tag = "2")]
    pub dim: Vec<Dim>,
}

/// `TensorShapeProto.Dim`.
#[derive(Clone, PartialEq, Message)]
pub struct Dim {
    /// Its size.
    #[prost(int64, tag = "1")]
    pub size: i64,
}

/// Marks in the course of a run.
#[derive(Clone, PartialEq, Message)]
pub struct SessionLog {
    /// [`START`].
    #[prost(int32, tag = "1")]
    pub status: i32,
}

/// `HParamsPluginData`.
#[derive(Clone, PartialEq, Message)]
struct HParams {
    #[prost(message, optional, tag = "3")]
    session_start_info: Option<SessionStart>,
    #[prost(message, optional, tag = "4")]
    session_end_info: Option<SessionEnd>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionStart {
    #[prost(btree_map = "string, message", tag = "1")]
    hparams: BTreeMap<String, Setting>,
    #[prost(double, tag = "5")]
    start_time_secs: f64,
}

#[derive(Clone, PartialEq, Message)]
struct SessionEnd {
    #[prost(int32, tag = "1")]
    status: i32,
    #[prost(double, tag = "2")]
    end_time_secs: f64,
}

/// `google.protobuf.Value`.
#[derive(Clone, PartialEq, Message)]
struct Setting {
    #[prost(double, optional, tag = "2")]
    number: Option<f64>,
    #[prost(string, optional, tag = "3")]
    text: Option<String>,
    #[prost(bool, optional, tag = "4")]
    truth: Option<bool>,
}

impl Value {
    /// A number.
    pub fn scalar(tag: &str, value: f64) -> Self {
        Self { tag: tag.to_string(), simple_value: Some(value as f32), ..Self::default() }
    }

    /// A text in Markdown.
    pub fn text(tag: &str, markdown: String) -> Self {
        let shape = Some(Shape { dim: vec![Dim { size: 1 }] });
        let string_val = vec![markdown.into_bytes()];
        let tensor = Tensor { dtype: DT_STRING, shape, string_val, ..Tensor::default() };
        Self {
            tag: tag.to_string(),
            tensor: Some(tensor),
            metadata: Some(shown_by("text", Vec::new())),
            ..Self::default()
        }
    }

    /// A run's settings as hyperparameters, and when it began.
    pub fn hparams<'a>(
        settings: impl Iterator<Item = (&'a String, &'a serde_json::Value)>,
        began: f64,
    ) -> Self {
        let hparams = settings.map(|(key, value)| (key.clone(), setting(value))).collect();
        let start = SessionStart { hparams, start_time_secs: began };
        Self::of_hparams(HPARAMS, &HParams { session_start_info: Some(start), ..HParams::default() })
    }

    /// How the run of the hyperparameters ended: 1 well, 2 not.
    pub fn hparams_end(status: i32, ended: f64) -> Self {
        let end = SessionEnd { status, end_time_secs: ended };
        Self::of_hparams(HPARAMS_END, &HParams { session_end_info: Some(end), ..HParams::default() })
    }

    fn of_hparams(tag: &str, content: &HParams) -> Self {
        let metadata = Some(shown_by("hparams", content.encode_to_vec()));
        // SwanLab takes it for a number, and knows no value without any.
        let tensor = Some(Tensor { dtype: DT_FLOAT, float_val: vec![0.0], ..Tensor::default() });
        Self { tag: tag.to_string(), tensor, metadata, ..Self::default() }
    }
}

fn shown_by(plugin: &str, content: Vec<u8>) -> Metadata {
    Metadata { plugin_data: Some(PluginData { plugin_name: plugin.to_string(), content }) }
}

/// A setting as it is; lists and the like as JSON.
fn setting(value: &serde_json::Value) -> Setting {
    match value {
        serde_json::Value::Number(number) => Setting { number: number.as_f64(), ..Setting::default() },
        serde_json::Value::Bool(truth) => Setting { truth: Some(*truth), ..Setting::default() },
        serde_json::Value::String(text) => Setting { text: Some(text.clone()), ..Setting::default() },
        other => Setting { text: Some(other.to_string()), ..Setting::default() },
    }
}
