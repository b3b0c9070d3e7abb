//! Route texts: every text of a route in one allocation, for a shard holds millions of them.

use std::sync::Arc;

use orrery_model::{Address, Details, Id, Kind, Seq};
use twox_hash::XxHash64;

/// Seed of the hash of addresses; all replicas have the same.
const ADDRESS_SEED: u64 = 0x6f72_7265_7279_0004;

/// An address, borrowed from wherever its texts are. Ordered as [`Address`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AddressRef<'a> {
    namespace: &'a str,
    kind: Kind,
    id: &'a str,
}

/// A connection, borrowed: its name at one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RouteKey<'a> {
    pub(super) address: AddressRef<'a>,
    pub(super) seq: Seq,
}

/// Hash of an address's id. Slots are sorted by it, so that a search reads texts only where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AddressHash(u32);

/// The texts of a route: its address, platform, device and the primary's address. The lengths have the
/// width of their limits.
#[derive(Debug, Clone)]
pub(super) struct RouteTexts {
    /// Namespace, id, platform, the primary's namespace and id, device.
    all: Arc<str>,
    platform_len: u16,
    namespace_len: u8,
    id_len: u8,
    primary_namespace_len: u8,
    primary_id_len: u8,
    kind: Kind,
    primary_kind: Option<Kind>,
}

impl AddressHash {
    pub(super) fn number(self) -> u32 {
        self.0
    }
}

impl<'a> AddressRef<'a> {
    pub(super) fn namespace(&self) -> &'a str {
        self.namespace
    }

    /// The order it gives is what readers see as the order of a slot: changing it breaks their walks.
    pub(super) fn hash(&self) -> AddressHash {
        AddressHash((XxHash64::oneshot(ADDRESS_SEED, self.id.as_bytes()) >> 32) as u32)
    }

    pub(super) fn to_address(self) -> Address {
        let held = "what was an id once is a valid one";
        let namespace = Some(self.namespace).filter(|text| !text.is_empty());
        Address {
            namespace: namespace.map(|text| Id::new(text).expect(held)),
            kind: self.kind,
            id: Id::new(self.id).expect(held),
        }
    }
}

impl<'a> From<&'a Address> for AddressRef<'a> {
    fn from(address: &'a Address) -> Self {
        let namespace = address.namespace_text();
        Self { namespace, kind: address.kind, id: address.id.as_str() }
    }
}

impl RouteTexts {
    /// The texts of a route at `address`. Platform and device are within their limits.
    pub(super) fn new(address: &Address, details: &Details) -> Self {
        let primary = details.primary.as_ref().map(|primary| AddressRef::from(&primary.address));
        let (primary_namespace, primary_id) = primary.map_or(("", ""), |p| (p.namespace, p.id));
        let address = AddressRef::from(address);
        let (platform, device) = (details.platform.as_str(), details.device.as_str());
        let all = [address.namespace, address.id, platform, primary_namespace, primary_id, device];
        let short = |text: &str| u8::try_from(text.len()).expect("an id has at most 128 bytes");
        Self {
            all: all.concat().into(),
            platform_len: u16::try_from(platform.len()).expect("a platform was checked"),
            namespace_len: short(address.namespace),
            id_len: short(address.id),
            primary_namespace_len: short(primary_namespace),
            primary_id_len: short(primary_id),
            kind: address.kind,
            primary_kind: primary.map(|primary| primary.kind),
        }
    }

    pub(super) fn address(&self) -> AddressRef<'_> {
        let (namespace, rest) = self.all.split_at(self.namespace_len.into());
        AddressRef { namespace, kind: self.kind, id: &rest[..self.id_len.into()] }
    }

    pub(super) fn platform(&self) -> &str {
        self.after_address().split_at(self.platform_len.into()).0
    }

    pub(super) fn primary(&self) -> Option<AddressRef<'_>> {
        let kind = self.primary_kind?;
        let (namespace, rest) = self.after_platform().split_at(self.primary_namespace_len.into());
        Some(AddressRef { namespace, kind, id: &rest[..self.primary_id_len.into()] })
    }

    pub(super) fn device(&self) -> &str {
        let primary = usize::from(self.primary_namespace_len) + usize::from(self.primary_id_len);
        self.after_platform().split_at(primary).1
    }

    fn after_address(&self) -> &str {
        self.all.split_at(usize::from(self.namespace_len) + usize::from(self.id_len)).1
    }

    fn after_platform(&self) -> &str {
        self.after_address().split_at(self.platform_len.into()).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_model::Primary;

    #[test]
    fn every_text_comes_back() {
        let long = |letter: &str| Id::new(letter.repeat(128)).unwrap();
        let named = |kind| Address { namespace: Some(long("n")), kind, id: long("i") };
        let plain = |kind, id: &str| Address::new(kind, Id::new(id).unwrap());
        let addresses = [plain(Kind::User, "é"), named(Kind::Key)];
        let primaries = [None, Some(plain(Kind::User, "u")), Some(named(Kind::Key))];
        let texts = ["".to_owned(), "web".to_owned(), "x".repeat(256)];
        for address in &addresses {
            for primary in &primaries {
                for (platform, device) in
                    texts.iter().flat_map(|p| texts.iter().map(move |d| (p, d)))
                {
                    let named =
                        |address: &Address| Primary { address: address.clone(), seq: Seq(1) };
                    let details = Details {
                        platform: platform.clone(),
                        device: device.clone(),
                        primary: primary.as_ref().map(named),
                        ..Details::default()
                    };
                    let texts = RouteTexts::new(address, &details);
                    assert_eq!(texts.address().to_address(), *address);
                    assert_eq!(texts.platform(), platform);
                    assert_eq!(texts.device(), device);
                    assert_eq!(texts.primary().map(AddressRef::to_address), *primary);
                }
            }
        }
    }

    #[test]
    fn borrowed_addresses_are_ordered_as_owned_ones() {
        let ids = ["a", "aa", "b"].map(|id| Id::new(id).unwrap());
        let namespaces = [None, Some(ids[0].clone()), Some(ids[2].clone())];
        let mut addresses = Vec::new();
        for namespace in namespaces {
            for kind in [Kind::User, Kind::Key, Kind::Room] {
                let of = |id: &Id| Address { namespace: namespace.clone(), kind, id: id.clone() };
                addresses.extend(ids.iter().map(of));
            }
        }
        for (a, b) in addresses.iter().flat_map(|a| addresses.iter().map(move |b| (a, b))) {
            assert_eq!(AddressRef::from(a).cmp(&AddressRef::from(b)), a.cmp(b));
        }
    }
}
