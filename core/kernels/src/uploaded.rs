//! Host values that all layers of a forward pass read: a device gets them once.

use std::fmt;
use std::sync::{Arc, OnceLock};

use burn::tensor::kind::Basic;
use burn::tensor::{Device, Tensor, TensorData};

/// A tensor made at its first use; clones share it.
pub(super) struct Uploaded<const D: usize, K: Basic>(Arc<OnceLock<(Device, Tensor<D, K>)>>);

impl<const D: usize, K: Basic> Uploaded<D, K> {
    /// The tensor on `device`, out of what `make` gives; another device or shape than at the first use gets a tensor of
    /// its own.
    pub(super) fn get(
        &self,
        device: &Device,
        shape: [usize; D],
        make: impl Fn() -> TensorData,
    ) -> Tensor<D, K> {
        let upload = || Tensor::from_data(make(), device);
        let (kept_on, kept) = self.0.get_or_init(|| (device.clone(), upload()));
        if kept_on == device && kept.dims() == shape { kept.clone() } else { upload() }
    }
}

impl<const D: usize, K: Basic> Default for Uploaded<D, K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<const D: usize, K: Basic> Clone for Uploaded<D, K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<const D: usize, K: Basic> fmt::Debug for Uploaded<D, K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Uploaded({})", self.0.get().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Float;
    use std::cell::Cell;

    #[test]
    fn clones_share_one_upload_and_another_shape_gets_its_own() {
        let (uploaded, uploads) = (Uploaded::<1, Float>::default(), Cell::new(0));
        let device = Device::flex();
        let get = |uploaded: &Uploaded<1, Float>, count: usize| {
            let made = uploaded.get(&device, [count], || {
                uploads.set(uploads.get() + 1);
                TensorData::new(vec![1.0f32; count], [count])
            });
            made.into_data().iter::<f32>().sum::<f32>()
        };
        assert_eq!((get(&uploaded, 2), get(&uploaded.clone(), 2), uploads.get()), (2.0, 2.0, 1));
        assert_eq!((get(&uploaded, 3), uploads.get()), (3.0, 2));
    }
}
