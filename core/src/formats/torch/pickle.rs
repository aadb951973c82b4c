//! A pickle machine that knows only data: protocols 2 to 5 (<https://peps.python.org/pep-0307/>, PEP 3154, PEP 574).
//! A pickle is a program for a stack; this one has no instruction that runs anything.

use std::collections::BTreeMap;

use super::reader::{Reader, damaged};
use super::rebuild::storage;
use super::value::{Global, Pickled, Tables};
use crate::error::{Error, Result};

/// A thousand tensors take 200 kB. A byte can ask for some 50 of memory.
const LONGEST: usize = 8 << 20;

/// The value that a pickle describes, and the tables that it points into.
///
/// # Errors
/// A pickle that is cut off, damaged, too long or of protocol 0 or 1; one that names code.
pub(super) fn read(bytes: &[u8]) -> Result<(Pickled<'_>, Tables<'_>)> {
    if bytes.len() > LONGEST {
        return Err(Error::Checkpoint(
            format!(
                "the file's pickle has {} bytes, {LONGEST} are the most; save only the weights: \
            torch.save(model.state_dict(), FILE)",
                bytes.len()
            )
            .into(),
        ));
    }
    let mut machine = Machine {
        reader: Reader::new(bytes),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
        tables: Tables::default(),
    };
    loop {
        match machine.reader.byte()? {
            b'.' => return Ok((machine.pop()?, machine.tables)),
            code => machine.step(code)?,
        }
    }
}

struct Machine<'a> {
    reader: Reader<'a>,
    stack: Vec<Pickled<'a>>,
    /// Heights of the stack; nothing below the last one is popped.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Pickled<'a>>,
    tables: Tables<'a>,
}

impl<'a> Machine<'a> {
    /// One instruction. Its codes and their names are those of Python's `pickle.py`.
    fn step(&mut self, code: u8) -> Result<()> {
        match code {
            // PROTO and FRAME tell how to read what follows; here it is all there at once.
            0x80 => self.reader.take(1).map(drop),
            0x95 => self.reader.take(8).map(drop),
            // MARK, POP and POP_MARK.
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'1' => self.pop_to_mark().map(drop),
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.remember(code),
            b']' | b'a' | b'e' | b'l' => self.list(code),
            b'}' | b's' | b'u' | b'd' => self.dict(code),
            b')' | b't' | 0x85..=0x87 => self.tuple(code),
            0x8f..=0x91 => self.set(code),
            b'c' | 0x93 | b'R' | 0x81 | 0x92 | b'b' | b'Q' => self.object(code),
            _ => self.scalar(code),
        }
    }

    /// NONE, NEWTRUE, NEWFALSE, numbers, texts and bytes.
    fn scalar(&mut self, code: u8) -> Result<()> {
        let reader = &mut self.reader;
        let value = match code {
            b'N' | 0x88 | 0x89 => Pickled::Other,
            // BINFLOAT; BININT, BININT1 and BININT2; LONG1 and LONG4.
            b'G' => reader.take(8).map(|_| Pickled::Other)?,
            b'J' => Pickled::Int(i64::from(reader.number(4)? as u32 as i32)),
            b'K' => Pickled::Int(reader.number(1)? as i64),
            b'M' => Pickled::Int(reader.number(2)? as i64),
            0x8a => reader.long(1)?,
            0x8b => reader.long(4)?,
            // SHORT_BINUNICODE, BINUNICODE and BINUNICODE8; SHORT_BINSTRING and BINSTRING of Python 2.
            0x8c | b'U' => reader.text(1)?,
            b'X' | b'T' => reader.text(4)?,
            0x8d => reader.text(8)?,
            // SHORT_BINBYTES, BINBYTES, BINBYTES8 and BYTEARRAY8.
            b'C' => reader.counted(1).map(|_| Pickled::Other)?,
            b'B' => reader.counted(4).map(|_| Pickled::Other)?,
            0x8e | 0x96 => reader.counted(8).map(|_| Pickled::Other)?,
            other => return Err(damaged(&format!("has the unknown instruction {other:#04x}"))),
        };
        self.stack.push(value);
        Ok(())
    }

    /// BINPUT, LONG_BINPUT, MEMOIZE; BINGET, LONG_BINGET.
    fn remember(&mut self, code: u8) -> Result<()> {
        let place = match code {
            b'q' | b'h' => self.reader.number(1)? as u32,
            b'r' | b'j' => self.reader.number(4)? as u32,
            _ => self.memo.len() as u32,
        };
        if matches!(code, b'h' | b'j') {
            let kept = self.memo.get(&place).ok_or_else(|| damaged("recalls what it never kept"))?;
            self.stack.push(*kept);
        } else {
            let value = self.top()?;
            self.memo.insert(place, value);
        }
        Ok(())
    }

    /// EMPTY_LIST, LIST; APPEND, APPENDS.
    fn list(&mut self, code: u8) -> Result<()> {
        let items = match code {
            b']' => Vec::new(),
            b'a' => vec![self.pop()?],
            _ => self.pop_to_mark()?,
        };
        if matches!(code, b']' | b'l') {
            let list = self.tables.add_list(items);
            self.stack.push(list);
        } else {
            let list = self.top()?;
            self.tables.list_mut(list).ok_or_else(|| damaged("appends to no list"))?.extend(items);
        }
        Ok(())
    }

    /// EMPTY_DICT, DICT; SETITEM, SETITEMS.
    fn dict(&mut self, code: u8) -> Result<()> {
        let entries = match code {
            b'}' => Vec::new(),
            b's' => {
                let value = self.pop()?;
                vec![(self.pop()?, value)]
            }
            _ => pairs(&self.pop_to_mark()?)?,
        };
        if matches!(code, b'}' | b'd') {
            let dict = self.tables.add_dict(entries);
            self.stack.push(dict);
        } else {
            let dict = self.top()?;
            self.tables.dict_mut(dict).ok_or_else(|| damaged("adds to no dictionary"))?.extend(entries);
        }
        Ok(())
    }

    /// EMPTY_TUPLE, TUPLE; TUPLE1, TUPLE2, TUPLE3.
    fn tuple(&mut self, code: u8) -> Result<()> {
        let mut items = Vec::new();
        match code {
            b')' => {}
            b't' => items = self.pop_to_mark()?,
            _ => {
                for _ in 0x84..code {
                    items.push(self.pop()?);
                }
                items.reverse();
            }
        }
        let tuple = self.tables.add_tuple(&items);
        self.stack.push(tuple);
        Ok(())
    }

    /// EMPTY_SET; ADDITEMS, FROZENSET.
    fn set(&mut self, code: u8) -> Result<()> {
        if code != 0x8f {
            self.pop_to_mark()?;
        }
        if code != 0x90 {
            self.stack.push(Pickled::Other);
        }
        Ok(())
    }

    /// GLOBAL, STACK_GLOBAL; REDUCE, NEWOBJ, NEWOBJ_EX; BUILD; BINPERSID.
    fn object(&mut self, code: u8) -> Result<()> {
        let value = match code {
            b'c' => {
                let module = self.reader.line()?;
                Pickled::Global(Global::named(module, self.reader.line()?)?)
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Pickled::Text(name), Pickled::Text(module)) => Pickled::Global(Global::named(module, name)?),
                _ => return Err(damaged("names a function by no text")),
            },
            b'Q' => {
                let id = self.pop()?;
                storage(&mut self.tables, id)?
            }
            b'b' => {
                // The state beside the items: hooks and versions, of which nothing is asked.
                self.pop()?;
                match self.pop()? {
                    built @ (Pickled::Dict(_) | Pickled::Tensor(_) | Pickled::Other) => built,
                    _ => return Err(damaged("gives a state to no object")),
                }
            }
            _ => {
                if code == 0x92 {
                    self.pop()?;
                }
                match (self.pop()?, self.pop()?) {
                    (arguments, Pickled::Global(function)) => function.call(&mut self.tables, arguments)?,
                    _ => return Err(damaged("calls no function")),
                }
            }
        };
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Pickled<'a>> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn top(&self) -> Result<Pickled<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.get(floor..).and_then(|above| above.last());
        top.copied().ok_or_else(|| damaged("takes from an empty stack"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Pickled<'a>>> {
        let mark = self.marks.pop().ok_or_else(|| damaged("closes what it never opened"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }
}

/// Keys and values that follow each other.
fn pairs<'a>(items: &[Pickled<'a>]) -> Result<Vec<(Pickled<'a>, Pickled<'a>)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(damaged("has a dictionary key without a value"));
    }
    Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
}
