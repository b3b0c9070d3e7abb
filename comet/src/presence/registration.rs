//! Registration: a connection's place in the registry. Its drop is the connection's goodbye.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::Arc;

use orrery_model::command::{Bind, Command, Loser, Outcome, Refusal, RouteName, SetRooms};
use orrery_model::message::CloseReason;
use orrery_model::{Address, Conn, Details, Id, Incarnation, Policy, Primary, Seq, Version};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Presence;
use super::goodbyes::Goodbye;
use super::profile::Profile;
use super::rooms::RoomRefused;
use super::write::WriteError;

/// A connection cannot have what it asked for. Trying again under the same circumstances cannot help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BindError {
    /// The registry refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A room cannot be listed.
    #[error(transparent)]
    Room(#[from] RoomRefused),
    /// The comet has no place in the cluster any more.
    #[error("the comet is leaving the cluster")]
    Ended,
}

impl BindError {
    /// Why the device's connection is closed for it.
    pub(crate) fn close_reason(&self) -> CloseReason {
        match self {
            // A living connection is gone only where another took its place before a repeat of its bind could
            // be answered. Told that it is lost, its device would come back and throw that one out.
            Self::Refused(Refusal::Outranked | Refusal::Gone) => CloseReason::Replaced,
            Self::Refused(Refusal::Invalid(_)) | Self::Room(_) => CloseReason::Unauthorized,
            Self::Refused(_) => CloseReason::Lost,
            Self::Ended => CloseReason::Drain,
        }
    }
}

/// What a bound connection is called: each of its addresses with the seq it has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// The comet's life in which it is called so.
    pub(crate) incarnation: Incarnation,
    pub(crate) primary: (Address, Seq),
    pub(crate) secondary: Option<(Address, Seq)>,
}

impl Names {
    /// Each of its addresses with the seq there.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Address, Seq)> {
        std::iter::once(&self.primary).chain(&self.secondary)
    }

    /// Whether the connection is called so.
    pub(crate) fn has(&self, address: &Address, seq: Seq) -> bool {
        let is = |name: &(Address, Seq)| name.1 == seq && name.0 == *address;
        is(&self.primary) || self.secondary.as_ref().is_some_and(is)
    }
}

/// One address of a connection for which a bind was begun; the seq once it is known.
struct Tie {
    address: Address,
    seq: Option<Seq>,
}

/// A connection's place in the registry: taken by [`Registration::bind`] and left by the drop, whatever
/// was reached by then.
pub(crate) struct Registration {
    presence: Arc<Presence>,
    conn: Conn,
    permit: Option<OwnedSemaphorePermit>,
    profile: Option<Arc<Profile>>,
    /// The life in which the ties were begun; zero before the first.
    incarnation: Incarnation,
    /// Empty once it has all of its names.
    ties: Vec<Tie>,
    names: Option<Arc<Names>>,
    /// Its first seq at its primary address: however often the comet has to bind it again, its device is as
    /// old as that.
    first_seq: Option<NonZeroU64>,
    /// What the registry is told of its rooms. This comet counts it in each of them.
    rooms: BTreeSet<Id>,
    rooms_version: Version,
    /// Other rooms in which this comet counts it: those being joined.
    joining: BTreeSet<Id>,
}

impl Registration {
    pub(super) fn new(presence: Arc<Presence>, conn: Conn, permit: OwnedSemaphorePermit) -> Self {
        Self {
            presence,
            conn,
            permit: Some(permit),
            profile: None,
            incarnation: Incarnation::default(),
            ties: Vec::new(),
            names: None,
            first_seq: None,
            rooms: BTreeSet::new(),
            rooms_version: Version(1),
            joining: BTreeSet::new(),
        }
    }

    /// The comet's number for the connection.
    pub(crate) fn conn(&self) -> Conn {
        self.conn
    }

    /// Says who the device is and where it starts; its rooms count as joined from here on.
    pub(crate) fn identify(&mut self, profile: Arc<Profile>, rooms: BTreeSet<Id>) {
        self.profile = Some(profile);
        self.count_in(&rooms);
        self.rooms = rooms;
    }

    /// Binds all addresses of the connection under the comet's present incarnation, however often
    /// that changes meanwhile. Does nothing when they are bound under it already.
    ///
    /// # Errors
    /// [`BindError`]; the drop unbinds what was done.
    ///
    /// # Panics
    /// Before [`Registration::identify`].
    pub(crate) async fn bind(&mut self) -> Result<Arc<Names>, BindError> {
        loop {
            let incarnation = self.presence.attached().await.ok_or(BindError::Ended)?;
            if self.incarnation == incarnation
                && let Some(names) = &self.names
            {
                return Ok(names.clone());
            }
            self.incarnation = incarnation;
            self.ties.clear();
            self.names = None;
            match self.bind_in(incarnation).await {
                Ok(names) if self.presence.decide(self.conn, incarnation) => {
                    let names = Arc::new(names);
                    self.names = Some(names.clone());
                    // A comet has very many connections, and each has its names once.
                    self.ties = Vec::new();
                    return Ok(names);
                }
                // The next life counts on it to bind again by itself.
                Ok(_) | Err(Step::Fenced) => {}
                Err(Step::Failed(error)) => return Err(error),
            }
        }
    }

    async fn bind_in(&mut self, incarnation: Incarnation) -> Result<Names, Step> {
        let profile = self.profile.clone().expect("a device is identified before it is bound");
        self.presence.listed(self.rooms.iter().map(|id| profile.room(id))).await?;
        let details = Details {
            platform: profile.platform.to_string(),
            device: profile.device.to_string(),
            labels: profile.labels.clone(),
            rooms: self.rooms.clone(),
            rooms_version: self.rooms_version,
            primary: None,
        };
        let primary = &profile.primary;
        // Between connections of one user the primary address's numbers count on the secondary one too.
        let rank = self.first_seq.map(|seq| Seq(seq.get()));
        let seq = self.bind_address(incarnation, primary, &details, profile.policy, rank).await?;
        self.first_seq = self.first_seq.or(NonZeroU64::new(seq.0));
        // On the key the newest wins, whatever the policy. Where that keeps the oldest, this one may have won
        // over one that came later and still holds the key: as old as it is there it would lose, and both
        // would be gone.
        let rank = rank.filter(|_| !profile.policy.keeps_oldest());
        let secondary = match &profile.secondary {
            None => None,
            Some(address) => {
                let details = Details {
                    rooms: BTreeSet::new(),
                    rooms_version: Version::default(),
                    primary: Some(Primary { address: primary.clone(), seq }),
                    ..details
                };
                let policy = Policy::ONE_NEWEST;
                let seq = self.bind_address(incarnation, address, &details, policy, rank).await?;
                Some((address.clone(), seq))
            }
        };
        Ok(Names { incarnation, primary: (primary.clone(), seq), secondary })
    }

    async fn bind_address(
        &mut self,
        incarnation: Incarnation,
        address: &Address,
        details: &Details,
        policy: Policy,
        rank: Option<Seq>,
    ) -> Result<Seq, Step> {
        // From here on the registry may know the connection, whatever becomes of this future.
        self.ties.push(Tie { address: address.clone(), seq: None });
        let comet = self.presence.comet(incarnation);
        let command = |settled| {
            Command::Bind(Bind {
                address: address.clone(),
                comet: comet.clone(),
                conn: self.conn,
                details: details.clone(),
                policy,
                settled,
                rank,
            })
        };
        match self.presence.write(incarnation, command).await? {
            Outcome::Bound(bound) => {
                if let Some(tie) = self.ties.last_mut() {
                    tie.seq = Some(bound.seq);
                }
                self.close_losers(incarnation, bound.losers).await;
                Ok(bound.seq)
            }
            Outcome::Unbound { .. } | Outcome::Done | Outcome::Stale => {
                Err(Step::Failed(Refusal::Invalid("a bind has no such outcome").into()))
            }
        }
    }

    /// Closes losers on this very comet at once; logic sends word to the others.
    async fn close_losers(&self, incarnation: Incarnation, losers: Vec<Loser>) {
        let comet = self.presence.comet(incarnation);
        for loser in losers.into_iter().filter(|loser| loser.comet == comet) {
            let Loser { address, conn, seq, .. } = loser;
            self.presence.workers.close(conn, address, seq, CloseReason::Replaced).await;
        }
    }

    /// Replaces the connection's rooms: waits for the listings of new ones, tells the registry, and
    /// lets go of the others. The caller adds it to new rooms locally before, and takes it out of left
    /// ones after.
    ///
    /// # Errors
    /// [`BindError`]; after [`BindError::Room`] it is in the same rooms as before, after the others
    /// it is to be closed.
    pub(crate) async fn change_rooms(
        &mut self,
        rooms: BTreeSet<Id>,
    ) -> Result<Arc<Names>, BindError> {
        let names = self.bind().await?;
        if rooms == self.rooms {
            return Ok(names);
        }
        let joining = &rooms - &self.rooms;
        self.count_in(&joining);
        self.joining = joining;
        let changed = self.tell_rooms(&rooms, names).await;
        let joining = std::mem::take(&mut self.joining);
        match changed {
            Ok(_) => {
                let before = std::mem::replace(&mut self.rooms, rooms);
                self.count_out(before.difference(&self.rooms));
            }
            Err(_) => self.count_out(&joining),
        }
        changed
    }

    async fn tell_rooms(
        &mut self,
        rooms: &BTreeSet<Id>,
        mut names: Arc<Names>,
    ) -> Result<Arc<Names>, BindError> {
        let profile = self.profile.clone().expect("a device is identified before it is bound");
        loop {
            self.presence.listed(rooms.iter().map(|id| profile.room(id))).await?;
            let incarnation = self.incarnation;
            self.rooms_version = self.rooms_version.next();
            let comet = self.presence.comet(incarnation);
            let (address, seq) = names.primary.clone();
            let command = |_settled| {
                Command::SetRooms(SetRooms {
                    address: address.clone(),
                    comet: comet.clone(),
                    seq,
                    rooms: rooms.clone(),
                    version: self.rooms_version,
                })
            };
            match self.presence.write(incarnation, command).await {
                Ok(_) => return Ok(names),
                // Bind anew, still in the old rooms, and change them then.
                Err(WriteError::Fenced) => names = self.bind().await?,
                Err(WriteError::Refused(refusal)) => return Err(refusal.into()),
            }
        }
    }

    fn count_in<'a>(&self, rooms: impl IntoIterator<Item = &'a Id>) {
        let Some(profile) = &self.profile else { return };
        let mut state = self.presence.state.lock();
        for room in rooms {
            state.listings.join(&profile.room(room));
        }
    }

    fn count_out<'a>(&self, rooms: impl IntoIterator<Item = &'a Id>) {
        let Some(profile) = &self.profile else { return };
        let now = Instant::now();
        let mut state = self.presence.state.lock();
        for room in rooms {
            state.listings.leave(&profile.room(room), now);
        }
    }

    /// What names its route at each address for which a bind was begun.
    fn routes(&mut self) -> Vec<(Address, RouteName)> {
        if let Some(names) = &self.names {
            return names.iter().map(|(at, seq)| (at.clone(), RouteName::Seq(*seq))).collect();
        }
        let ties = self.ties.drain(..);
        let name = |seq: Option<Seq>| seq.map_or(RouteName::Conn(self.conn), RouteName::Seq);
        ties.map(|Tie { address, seq }| (address, name(seq))).collect()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.count_out(self.rooms.union(&self.joining));
        let goodbye = Goodbye {
            conn: self.conn,
            incarnation: self.incarnation,
            unbinds: self.routes(),
            permit: self.permit.take(),
            stray: false,
        };
        self.presence.goodbye(goodbye);
    }
}

/// How a step of a bind can end early.
enum Step {
    /// The incarnation ended: start again under the next one.
    Fenced,
    Failed(BindError),
}

impl From<WriteError> for Step {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Fenced => Self::Fenced,
            WriteError::Refused(refusal) => Self::Failed(refusal.into()),
        }
    }
}

impl From<RoomRefused> for Step {
    fn from(error: RoomRefused) -> Self {
        Self::Failed(error.into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::poll;
    use orrery_host::Host;
    use orrery_model::command::{Bound, Reply};
    use orrery_model::control::Advertise;
    use orrery_proto::edge::edge_request::Kind as Request;
    use orrery_proto::edge::edge_response::Kind as Response;
    use orrery_proto::edge::{Identity, edge_response};
    use orrery_proto::registry::command::Kind as Write;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::edge::ByHand;
    use crate::mailbox::Workers;
    use crate::presence::Parts;

    fn presence() -> (Arc<Presence>, ByHand) {
        let (edge, by_hand) = ByHand::new();
        let presence = Presence::new(Parts {
            id: Id::new("c").unwrap(),
            advertise: Advertise::default(),
            room_linger: Duration::ZERO,
            audit: Duration::from_secs(600),
            edge,
            host: Host::system(),
            workers: Workers::new(1).0,
            metrics: Arc::default(),
        });
        (presence, by_hand)
    }

    /// Carries out a bind; its seq is the incarnation that it names.
    fn bound(request: Request) -> edge_response::Kind {
        let Request::Write(command) = request else { panic!("{request:?} is no write") };
        let Some(Write::Bind(bind)) = command.kind else { panic!("{command:?} is no bind") };
        let seq = Seq(bind.comet.unwrap().incarnation);
        let reply: Reply = Ok(Outcome::Bound(Bound { seq, losers: Vec::new() }));
        Response::Reply((&reply).into())
    }

    #[test]
    fn a_device_whose_place_was_taken_is_told_so_whatever_its_bind_met() {
        let reason = |refusal| BindError::Refused(refusal).close_reason();
        assert_eq!(reason(Refusal::Outranked), CloseReason::Replaced);
        assert_eq!(reason(Refusal::Gone), CloseReason::Replaced);
        assert_eq!(reason(Refusal::NotBound), CloseReason::Lost);
        assert_eq!(reason(Refusal::Invalid("malformed")), CloseReason::Unauthorized);
    }

    #[tokio::test]
    async fn a_bind_acknowledged_in_a_life_that_has_ended_is_made_again_in_the_next() {
        // Which of two things that are ready is seen first is chance: often enough, it is both.
        for _ in 0..64 {
            let (presence, mut by_hand) = presence();
            presence.enter(Incarnation(1));
            let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            let mut registration = presence.begin(0, permit);
            let identity = Identity { key: "k".to_owned(), ..Identity::default() };
            registration.identify(Arc::new(Profile::try_from(&identity).unwrap()), BTreeSet::new());
            let names = {
                let bind = registration.bind();
                tokio::pin!(bind);
                assert!(poll!(&mut bind).is_pending());
                by_hand.answer(bound).await;
                presence.lost(Incarnation(1));
                presence.enter(Incarnation(2));
                tokio::select! {
                    biased;
                    names = &mut bind => names,
                    names = async { by_hand.answer(bound).await; std::future::pending().await } => names,
                }
            };
            assert_eq!(names.unwrap().incarnation, Incarnation(2));
            assert!(presence.state.lock().conns.settled() > registration.conn(), "it is decided");
        }
    }
}
