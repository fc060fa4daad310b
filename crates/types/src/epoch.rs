//! Epochs: monotone counters that fence whoever acts on an older view.

macro_rules! epoch {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl $name {
            /// The epoch that follows this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

epoch! {
    /// Counts the leaders of one partition. It grows when the leader changes or a replica is removed, never when the ISR
    /// alone shrinks. Source: `PartitionRegistration.leaderEpoch`, KIP-101.
    LeaderEpoch(i32)
}
epoch! {
    /// Counts every change of one partition's registration (leader, ISR, replicas). Source: KIP-497.
    PartitionEpoch(i32)
}
epoch! {
    /// Names one registration of a broker: the metadata version at which it registered. Source: KIP-631.
    BrokerEpoch(i64)
}
epoch! {
    /// Counts the incarnations of one producer id. Source: KIP-98, KIP-360.
    ProducerEpoch(i16)
}
epoch! {
    /// How many metadata batches have been applied to an image; the position of a broker in the metadata log.
    MetadataVersion(u64)
}
