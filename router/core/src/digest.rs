//! Digest: a 64-bit number that two replicas compare, fed with explicitly ordered bytes so that no
//! build, machine or memory layout can change it.

use std::hash::Hasher;

use orrery_model::{Address, CometRef, Id};
use twox_hash::XxHash64;

/// Seed of the digest; replicas that compare must agree on it.
const DIGEST_SEED: u64 = 0x6f72_7265_7279_0003;

/// The digest of a state together with what lies beside it, as bytes whose order is explicit.
pub fn with(state: u64, beside: &[u8]) -> u64 {
    let mut digest = Digest::new();
    digest.number(state).number(beside.len() as u64).0.write(beside);
    digest.finish()
}

pub(crate) struct Digest(XxHash64);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(XxHash64::with_seed(DIGEST_SEED))
    }

    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.0.write(&number.to_le_bytes());
        self
    }

    pub(crate) fn flag(&mut self, flag: bool) -> &mut Self {
        self.0.write(&[u8::from(flag)]);
        self
    }

    /// Text with its length first, so that neighbouring texts never run into one another.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len() as u64);
        self.0.write(text.as_bytes());
        self
    }

    pub(crate) fn id(&mut self, id: &Id) -> &mut Self {
        self.text(id.as_str())
    }

    pub(crate) fn address(&mut self, address: &Address) -> &mut Self {
        self.text(address.namespace_text());
        self.0.write(&[address.kind as u8]);
        self.id(&address.id)
    }

    pub(crate) fn comet(&mut self, comet: &CometRef) -> &mut Self {
        self.id(&comet.id).number(comet.incarnation.0)
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.finish()
    }
}
