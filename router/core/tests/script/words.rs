//! Words of one command line: a verb, bare words, and `name=value` pairs. Words left over are an error.

use std::collections::{BTreeMap, BTreeSet};

use orrery_model::{Address, CometRef, Id, Incarnation, Kind, Primary, Seq};

pub(crate) struct Words<'a> {
    place: &'a str,
    bare: std::collections::VecDeque<&'a str>,
    named: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str, place: &'a str) -> Self {
        let mut words = Self { place, bare: Default::default(), named: Vec::new() };
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some(pair) => words.named.push(pair),
                None => words.bare.push_back(word),
            }
        }
        words
    }

    /// The next bare word.
    pub(crate) fn next(&mut self) -> &'a str {
        self.bare.pop_front().unwrap_or_else(|| panic!("{}: a word is missing", self.place))
    }

    /// The next bare word if there is one.
    pub(crate) fn next_if_any(&mut self) -> Option<&'a str> {
        self.bare.pop_front()
    }

    /// The value of a name, taken out.
    pub(crate) fn get(&mut self, name: &str) -> Option<&'a str> {
        let index = self.named.iter().position(|(n, _)| *n == name)?;
        Some(self.named.remove(index).1)
    }

    pub(crate) fn all(&mut self, name: &str) -> BTreeMap<String, String> {
        std::iter::from_fn(|| self.get(name))
            .map(|pair| pair.split_once(':').expect("name:value"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    pub(crate) fn number(&mut self, name: &str) -> Option<u64> {
        let text = self.get(name)?;
        Some(text.parse().unwrap_or_else(|_| panic!("{}: {name} is a number", self.place)))
    }

    pub(crate) fn number_or(&mut self, name: &str, default: u64) -> u64 {
        self.number(name).unwrap_or(default)
    }

    pub(crate) fn need(&mut self, name: &str) -> u64 {
        self.number(name).unwrap_or_else(|| panic!("{}: {name}= is missing", self.place))
    }

    pub(crate) fn ids(&mut self, name: &str) -> BTreeSet<Id> {
        let text = self.get(name).unwrap_or("");
        text.split(',').filter(|id| !id.is_empty()).map(id).collect()
    }

    pub(crate) fn address(&mut self) -> Address {
        address(self.next())
    }

    pub(crate) fn comet(&mut self) -> CometRef {
        comet(self.next())
    }

    pub(crate) fn fail(&self, why: &str) -> ! {
        panic!("{}: {why}", self.place)
    }

    pub(crate) fn finish(&self) {
        let (bare, named) = (&self.bare, &self.named);
        assert!(bare.is_empty() && named.is_empty(), "{}: unused {bare:?} {named:?}", self.place);
    }
}

pub(crate) fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// `user:u`, `key:k`, `room:r`, in a namespace `ns/user:u`.
pub(crate) fn address(text: &str) -> Address {
    let (kind, name) = text.split_once(':').expect("an address is kind:id");
    let (namespace, kind) = match kind.split_once('/') {
        Some((namespace, kind)) => (Some(id(namespace)), kind),
        None => (None, kind),
    };
    let kind = match kind {
        "user" => Kind::User,
        "key" => Kind::Key,
        "room" => Kind::Room,
        other => panic!("no kind {other}"),
    };
    Address { namespace, kind, id: id(name) }
}

/// `c1#2`.
pub(crate) fn comet(text: &str) -> CometRef {
    let (comet, incarnation) = text.split_once('#').expect("a comet is id#incarnation");
    CometRef { id: id(comet), incarnation: Incarnation(incarnation.parse().unwrap()) }
}

/// `user:u@7`.
pub(crate) fn connection(text: &str) -> Primary {
    let (name, seq) = text.split_once('@').expect("a connection is address@seq");
    Primary { address: address(name), seq: Seq(seq.parse().unwrap()) }
}
