//! Mutation: a rule left out, to see that its absence is found.

/// One rule of the protocol that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// An unbind that removed a route leaves no mark.
    UnbindLeavesNoMark,
    /// An unbind that found nothing leaves no mark.
    AbsenceLeavesNoMark,
    /// A connection that gave way leaves no mark.
    EvictionLeavesNoMark,
    /// A bind below `settled` is not refused, though its mark was dropped.
    SettledIgnored,
    /// A comet says of a connection that it is settled when the first of its binds is answered.
    SettledTooEarly,
    /// A write below the fence is let in.
    FenceNotChecked,
    /// A write above the fence does not raise it.
    FenceNotRaised,
    /// The cursor moves over a fence event that was not carried out.
    FenceEventSkipped,
    /// An unbind removes whatever its comet has at the address.
    ExactRemovalSkipped,
    /// A bind counts as new however old its connection is.
    RankIgnored,
    /// On the secondary address whoever binds last wins.
    SecondaryByArrival,
    /// A policy looks only at the connections of the newcomer's own comet.
    PolicyPerComet,
    /// Who is refused by the policy is told so, and who was there loses its place all the same.
    BothLose,
    /// The seq counter begins again above the routes that live.
    SeqCounterLost,
    /// A repeat of a bind whose route lives removes it and makes another.
    BindNotIdempotent,
    /// A comet does not bind the secondary address again in its next life.
    RebindForgetsSecondary,
}
