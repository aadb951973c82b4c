//! What a pickle of tensors may hold. Containers live in tables and a value only names their place: copying one is
//! cheap, a cycle is harmless, and nesting of any depth drops without recursion.

use super::dtype::DType;

/// A known function or class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    /// `collections.OrderedDict`.
    Dict,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`.
    Tensor,
    /// `torch._utils._rebuild_parameter`: a tensor that is trained.
    Parameter,
    /// `torch.Size`: a tuple.
    Size,
    /// A storage class.
    Storage(DType),
    /// Nothing here asks for what it makes.
    Other,
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pickled<'a> {
    /// A whole number.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// The place of its first item, and their number.
    Tuple(usize, usize),
    /// The place of a list.
    List(usize),
    /// The place of a dictionary.
    Dict(usize),
    /// A known function or class.
    Global(Global),
    /// The place of a storage.
    Storage(usize),
    /// The place of a tensor.
    Tensor(usize),
    /// Anything else, of which nothing is asked: None, flags, fractions, bytes, sets, devices.
    Other,
}

/// Numbers in a file of the archive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Storage<'a> {
    /// The file's name below `data/`.
    pub(super) key: &'a str,
    /// What the numbers are.
    pub(super) dtype: DType,
    /// How many there are.
    pub(super) count: u64,
}

/// A view into a storage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    /// The storage's place.
    pub(super) storage: usize,
    /// Its first element.
    pub(super) offset: u64,
    /// Elements along each axis.
    pub(super) shape: Vec<u64>,
    /// Elements from one index of an axis to the next.
    pub(super) strides: Vec<u64>,
}

/// All containers of a pickle.
#[derive(Debug, Default)]
pub(super) struct Tables<'a> {
    tuples: Vec<Pickled<'a>>,
    lists: Vec<Vec<Pickled<'a>>>,
    dicts: Vec<Vec<(Pickled<'a>, Pickled<'a>)>>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<View>,
}

impl<'a> Tables<'a> {
    /// The items of a tuple or a list; of anything else `None`.
    pub(super) fn items(&self, value: Pickled<'a>) -> Option<&[Pickled<'a>]> {
        match value {
            Pickled::Tuple(start, count) => self.tuples.get(start..start + count),
            Pickled::List(place) => self.lists.get(place).map(Vec::as_slice),
            _ => None,
        }
    }

    /// The entries of a dictionary, in the order of the file; of anything else `None`.
    pub(super) fn entries(&self, value: Pickled<'a>) -> Option<&[(Pickled<'a>, Pickled<'a>)]> {
        match value {
            Pickled::Dict(place) => self.dicts.get(place).map(Vec::as_slice),
            _ => None,
        }
    }

    /// A tensor and its storage; of anything else `None`.
    pub(super) fn tensor(&self, value: Pickled<'a>) -> Option<(&View, Storage<'a>)> {
        let Pickled::Tensor(place) = value else {
            return None;
        };
        let view = self.tensors.get(place)?;
        Some((view, *self.storages.get(view.storage)?))
    }

    pub(super) fn add_tuple(&mut self, items: &[Pickled<'a>]) -> Pickled<'a> {
        self.tuples.extend_from_slice(items);
        Pickled::Tuple(self.tuples.len() - items.len(), items.len())
    }

    pub(super) fn add_list(&mut self, items: Vec<Pickled<'a>>) -> Pickled<'a> {
        self.lists.push(items);
        Pickled::List(self.lists.len() - 1)
    }

    pub(super) fn add_dict(&mut self, entries: Vec<(Pickled<'a>, Pickled<'a>)>) -> Pickled<'a> {
        self.dicts.push(entries);
        Pickled::Dict(self.dicts.len() - 1)
    }

    pub(super) fn add_storage(&mut self, storage: Storage<'a>) -> Pickled<'a> {
        self.storages.push(storage);
        Pickled::Storage(self.storages.len() - 1)
    }

    pub(super) fn add_tensor(&mut self, view: View) -> Pickled<'a> {
        self.tensors.push(view);
        Pickled::Tensor(self.tensors.len() - 1)
    }

    /// A list to append to.
    pub(super) fn list_mut(&mut self, value: Pickled<'a>) -> Option<&mut Vec<Pickled<'a>>> {
        match value {
            Pickled::List(place) => self.lists.get_mut(place),
            _ => None,
        }
    }

    /// A dictionary to add to.
    pub(super) fn dict_mut(&mut self, value: Pickled<'a>) -> Option<&mut Vec<(Pickled<'a>, Pickled<'a>)>> {
        match value {
            Pickled::Dict(place) => self.dicts.get_mut(place),
            _ => None,
        }
    }
}
