//! The value of a classic group.

use super::bytes_codec::{Reader, Writer};
use super::{DecodeError, EncodeError};
use bytes::Bytes;
use milena_types::Timestamp;

/// A classic group at one generation. Written as version 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadataValue {
    /// Empty when there is none.
    pub protocol_type: String,
    /// The generation.
    pub generation: i32,
    /// The selected protocol; `None` without members.
    pub protocol: Option<String>,
    /// The leader's member id; `None` without members.
    pub leader: Option<String>,
    /// When the group entered its state; absent below version 2.
    pub current_state_timestamp: Option<Timestamp>,
    /// The members.
    pub members: Vec<MemberMetadata>,
}

/// One member of a [`GroupMetadataValue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMetadata {
    /// Its id.
    pub member_id: String,
    /// Its instance id, when static.
    pub group_instance_id: Option<String>,
    /// The client id it joined with.
    pub client_id: String,
    /// The address it joined from.
    pub client_host: String,
    /// In milliseconds.
    pub rebalance_timeout_ms: i32,
    /// In milliseconds.
    pub session_timeout_ms: i32,
    /// Its metadata for the group's protocol.
    pub subscription: Bytes,
    /// What the leader assigned to it.
    pub assignment: Bytes,
}

const VERSION: i16 = 3;

impl GroupMetadataValue {
    pub(super) fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut out = Writer::new(VERSION);
        out.string("protocol type", &self.protocol_type)?;
        out.i32(self.generation);
        out.nullable_string("protocol", self.protocol.as_deref())?;
        out.nullable_string("leader", self.leader.as_deref())?;
        out.i64(self.current_state_timestamp.map_or(-1, |t| t.0));
        out.array_length("members", self.members.len())?;
        for member in &self.members {
            out.string("member id", &member.member_id)?;
            out.nullable_string("group instance id", member.group_instance_id.as_deref())?;
            out.string("client id", &member.client_id)?;
            out.string("client host", &member.client_host)?;
            out.i32(member.rebalance_timeout_ms);
            out.i32(member.session_timeout_ms);
            out.bytes("subscription", &member.subscription)?;
            out.bytes("assignment", &member.assignment)?;
        }
        Ok(out.finish())
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let version = input.i16()?;
        if !(0..=4).contains(&version) {
            return Err(DecodeError::UnknownVersion(version));
        }
        input.set_flexible(version >= 4);
        let protocol_type = input.string()?;
        let generation = input.i32()?;
        let protocol = input.nullable_string()?;
        let leader = input.nullable_string()?;
        let current_state_timestamp = if version >= 2 {
            Some(Timestamp(input.i64()?)).filter(|t| *t != Timestamp::NONE)
        } else {
            None
        };
        // The shortest member: three empty texts, a timeout and two empty byte strings.
        let count = input.array_length(if version >= 4 { 9 } else { 18 })?;
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            members.push(MemberMetadata::decode(&mut input, version)?);
        }
        input.tagged_fields(|_, _| ())?;
        Ok(Self {
            protocol_type,
            generation,
            protocol,
            leader,
            current_state_timestamp,
            members,
        })
    }
}

impl MemberMetadata {
    fn decode(input: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        let member_id = input.string()?;
        let group_instance_id = if version >= 3 {
            input.nullable_string()?
        } else {
            None
        };
        let client_id = input.string()?;
        let client_host = input.string()?;
        let rebalance_timeout_ms = if version >= 1 { input.i32()? } else { -1 };
        let session_timeout_ms = input.i32()?;
        let subscription = input.bytes()?;
        let assignment = input.bytes()?;
        input.tagged_fields(|_, _| ())?;
        Ok(Self {
            member_id,
            group_instance_id,
            client_id,
            client_host,
            // A member of version 0 has one timeout for both. Source: `GroupMetadataManager.replay`.
            rebalance_timeout_ms: if rebalance_timeout_ms == -1 {
                session_timeout_ms
            } else {
                rebalance_timeout_ms
            },
            session_timeout_ms,
            subscription,
            assignment,
        })
    }
}
