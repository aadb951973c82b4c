//! Choosing where tensors live: among the backends built in, at run time.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{DType, Device};
pub use kindling_kernels::is_processor;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::told::told;

/// A device as asked for on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best one present, never a software adapter.
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA card, by index.
    Cuda(usize),
    /// A graphics card through Vulkan with SPIR-V shaders, by index.
    Vulkan(usize),
    /// An Apple graphics processor.
    Metal(usize),
    /// Whatever wgpu finds first, software adapters included.
    Wgpu,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, index) = text.split_once(':').unwrap_or((text, "0"));
        let index: usize = index.parse().map_err(|_| format!("'{index}' is not a device number"))?;
        match name {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(index)),
            "vulkan" => Ok(Self::Vulkan(index)),
            "metal" => Ok(Self::Metal(index)),
            "wgpu" => Ok(Self::Wgpu),
            _ => Err(format!(
                "'{text}' is no device; choose auto, cpu, cuda[:i], vulkan[:i], metal[:i] or wgpu"
            )),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Vulkan(index) => write!(f, "vulkan:{index}"),
            Self::Metal(index) => write!(f, "metal:{index}"),
            Self::Wgpu => f.write_str("wgpu"),
        }
    }
}

/// A device that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundDevice {
    /// How to ask for it.
    pub choice: String,
    /// The maker's name for it.
    pub name: String,
    /// A processor that plays a graphics card (llvmpipe, SwiftShader, WARP): for tests only.
    pub software: bool,
}

/// An open device and its name.
#[derive(Clone, Debug)]
pub struct OpenDevice {
    /// The burn device, without autodiff.
    pub device: Device,
    /// The choice that it answers to.
    pub choice: DeviceChoice,
}

impl OpenDevice {
    /// Opens a device.
    ///
    /// # Errors
    /// A device that is not built in or not there; the message names the build command.
    pub fn open(choice: DeviceChoice) -> Result<Self> {
        match choice {
            DeviceChoice::Auto => Self::open(best()),
            DeviceChoice::Cpu => Ok(Self { device: Device::flex(), choice }),
            DeviceChoice::Cuda(index) => open_cuda(index).map(|device| Self { device, choice }),
            DeviceChoice::Vulkan(index) => open_vulkan(index).map(|device| Self { device, choice }),
            DeviceChoice::Metal(index) => open_metal(index).map(|device| Self { device, choice }),
            DeviceChoice::Wgpu => open_wgpu().map(|device| Self { device, choice }),
        }
    }

    /// Refuses a compute type that the device does not multiply.
    ///
    /// # Errors
    /// Names the device and the type.
    pub fn check_dtype(&self, dtype: DType) -> Result<()> {
        if self.device.supports_dtype(dtype) {
            return Ok(());
        }
        Err(Error::Device(told!(
            "device.dtype",
            "{device} does not compute in {dtype}; use --dtype f32",
            device = self.choice,
            dtype = format!("{dtype:?}")
        )))
    }
}

/// Opens the browser's WebGPU, which only answers a question that is waited for.
///
/// # Errors
/// The browser has no WebGPU or gives no adapter.
#[cfg(feature = "webgpu")]
pub async fn open_webgpu() -> Result<Device> {
    let opened = Device::wgpu_options().init_async().await;
    opened.map_err(|e| {
        Error::Device(told!("device.webgpu", "WebGPU cannot be used: {e}", e = format!("{e:?}")))
    })
}

/// Everything that this build can reach; opens every graphics device.
pub fn survey() -> Vec<FoundDevice> {
    let cpu = FoundDevice {
        choice: "cpu".into(),
        name: "this machine's processor (burn-flex)".into(),
        software: false,
    };
    let mut found = vec![cpu];
    found.extend(cuda_devices());
    found.extend(wgpu_devices());
    found
}

/// The best device present: CUDA, then a hardware adapter of wgpu, then the processor.
fn best() -> DeviceChoice {
    let found = cuda_devices().into_iter().chain(wgpu_devices()).find(|device| !device.software);
    found.and_then(|device| device.choice.parse().ok()).unwrap_or(DeviceChoice::Cpu)
}

/// Software adapters by the names they give themselves.
#[cfg(feature = "wgpu")]
fn is_software(name: &str) -> bool {
    let name = name.to_lowercase();
    ["llvmpipe", "lavapipe", "swiftshader", "basic render", "warp", "software"]
        .iter()
        .any(|part| name.contains(part))
}

#[cfg(feature = "wgpu")]
fn wgpu_devices() -> Vec<FoundDevice> {
    use burn::tensor::DeviceType;
    let choice = |index: usize| match () {
        () if cfg!(all(feature = "metal", target_os = "macos")) => format!("metal:{index}"),
        () if cfg!(feature = "vulkan") => format!("vulkan:{index}"),
        () => "wgpu".to_string(),
    };
    // wgpu lists OpenGL's adapters too, which Vulkan cannot open.
    #[cfg(all(feature = "vulkan", not(all(feature = "metal", target_os = "macos"))))]
    let kind = DeviceType::Vulkan;
    #[cfg(any(not(feature = "vulkan"), all(feature = "metal", target_os = "macos")))]
    let kind = DeviceType::Wgpu;
    let named = Device::enumerate(kind)
        .into_vec()
        .into_iter()
        .map(|device| device.identity().map_or("unnamed".into(), |identity| identity.name));
    named
        .enumerate()
        .map(|(i, name)| FoundDevice { choice: choice(i), software: is_software(&name), name })
        .collect()
}

#[cfg(not(feature = "wgpu"))]
fn wgpu_devices() -> Vec<FoundDevice> {
    Vec::new()
}

#[cfg(feature = "cuda")]
fn cuda_devices() -> Vec<FoundDevice> {
    use burn::tensor::DeviceType;
    // The CUDA loader panics where no driver is installed; that means "none", not a failure.
    let listed =
        std::panic::catch_unwind(|| Device::enumerate(DeviceType::Cuda).into_vec()).unwrap_or_default();
    let named =
        listed.into_iter().map(|device| device.identity().map_or("unnamed".into(), |identity| identity.name));
    named
        .enumerate()
        .map(|(i, name)| FoundDevice { choice: format!("cuda:{i}"), name, software: false })
        .collect()
}

#[cfg(not(feature = "cuda"))]
fn cuda_devices() -> Vec<FoundDevice> {
    Vec::new()
}

#[cfg(feature = "cuda")]
fn open_cuda(index: usize) -> Result<Device> {
    match cuda_devices().len() {
        found if index < found => Ok(Device::cuda(index)),
        found => Err(absent(&format!("cuda:{index}"), found)),
    }
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(_index: usize) -> Result<Device> {
    Err(not_built("cuda", "cuda"))
}

/// One of the adapters of a kind; `name` is what it was asked for by.
#[cfg(any(feature = "vulkan", feature = "metal"))]
fn open_listed(kind: burn::tensor::DeviceType, index: usize, name: &str) -> Result<Device> {
    let mut devices = Device::enumerate(kind).into_vec();
    if index < devices.len() { Ok(devices.swap_remove(index)) } else { Err(absent(name, devices.len())) }
}

#[cfg(feature = "vulkan")]
fn open_vulkan(index: usize) -> Result<Device> {
    open_listed(burn::tensor::DeviceType::Vulkan, index, &format!("vulkan:{index}"))
}

#[cfg(not(feature = "vulkan"))]
fn open_vulkan(_index: usize) -> Result<Device> {
    Err(not_built("vulkan", "vulkan"))
}

#[cfg(feature = "metal")]
fn open_metal(index: usize) -> Result<Device> {
    open_listed(burn::tensor::DeviceType::Metal, index, "metal")
}

#[cfg(not(feature = "metal"))]
fn open_metal(_index: usize) -> Result<Device> {
    Err(not_built("metal", "metal"))
}

#[cfg(feature = "wgpu")]
fn open_wgpu() -> Result<Device> {
    use burn::tensor::DeviceKind;
    match wgpu_devices().len() {
        0 => Err(absent("wgpu", 0)),
        _ => Ok(Device::wgpu(DeviceKind::DefaultDevice)),
    }
}

#[cfg(not(feature = "wgpu"))]
fn open_wgpu() -> Result<Device> {
    Err(not_built("wgpu", "wgpu"))
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn absent(choice: &str, found: usize) -> Error {
    Error::Device(format!(
        "there is no {choice} here ({found} such devices found); `kindling doctor` lists what is, --device cpu always works"
    ).into())
}

#[cfg(not(all(feature = "cuda", feature = "wgpu", feature = "vulkan", feature = "metal")))]
fn not_built(choice: &str, feature: &str) -> Error {
    Error::Device(format!(
        "this build has no {choice}; build it in with `cargo build --release -p native --features {feature}`, or use \
         --device cpu"
    ).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_parsed_and_printed() {
        for text in ["auto", "cpu", "cuda:1", "vulkan:0", "metal:2", "wgpu"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert!("tpu".parse::<DeviceChoice>().unwrap_err().contains("choose auto"));
        assert!("cuda:x".parse::<DeviceChoice>().is_err());
    }
}
