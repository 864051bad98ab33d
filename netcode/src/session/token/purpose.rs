//! What a connect token is for: the room, the role, and the session that it resumes.

use super::super::bytes::{Reader, Writer};
use super::super::{ClientId, Role};
use super::UserData;
use crate::time::UnixTime;

/// What a token is for, as Truetick stores it in the first bytes of the user data. A token of
/// another issuer, whose user data begin with a zero, joins room 0 as a player.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purpose {
    /// The room that the token admits to.
    pub room: u16,
    /// What the user does in the room.
    pub role: Role,
    /// When the token was issued; `None` for a token of another issuer.
    pub issued: Option<UnixTime>,
    /// The session that the token resumes; `None` for a token that joins.
    pub resume: Option<Resumed>,
}

/// A session as a resume ticket names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// The session's client number.
    pub client: ClientId,
    /// The session's epoch when the ticket was made, which counts its resumptions and takeovers.
    /// The ticket is void once the session has another epoch.
    pub epoch: u32,
}

/// First byte of user data that hold a [`Purpose`].
const PURPOSE: u8 = 0x54;

/// Bytes that a [`Purpose`] takes; the rest of the user data belongs to the game.
pub const PURPOSE_BYTES: usize = 20;

impl Purpose {
    /// Writes the purpose into the first [`PURPOSE_BYTES`] bytes of the user data.
    pub fn write(&self, user_data: &mut UserData) {
        let mut writer = Writer::new(user_data);
        let kind = u8::from(self.resume.is_some()) | u8::from(self.role == Role::Spectator) << 1;
        writer.bytes(&[PURPOSE, kind]);
        writer.u16(self.room);
        writer.u64(self.issued.unwrap_or_default().as_millis());
        let resume = self.resume.unwrap_or(Resumed {
            client: ClientId(0),
            epoch: 0,
        });
        writer.u32(resume.client.0);
        writer.u32(resume.epoch);
    }

    /// Reads the purpose from the user data; `None` if the first byte is neither zero nor that of a
    /// purpose, or an unknown bit is set.
    pub fn read(user_data: &UserData) -> Option<Self> {
        let mut reader = Reader::new(user_data);
        let [mark, kind] = reader.array()?;
        if mark == 0 {
            return Some(Self::default());
        }
        let room = reader.u16()?;
        let issued = Some(UnixTime::from_millis(reader.u64()?));
        let resumed = Resumed {
            client: ClientId(reader.u32()?),
            epoch: reader.u32()?,
        };
        let resume = (kind & 1 != 0).then_some(resumed);
        let role = if kind & 2 != 0 {
            Role::Spectator
        } else {
            Role::Player
        };
        (mark == PURPOSE && kind < 4).then_some(Self {
            room,
            role,
            issued,
            resume,
        })
    }
}
