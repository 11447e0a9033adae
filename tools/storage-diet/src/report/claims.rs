//! What the storage note says of a film whose pictures are 4096x1728 behind the network.

use crate::plan::bytes::Bytes;

/// The size of the network's pictures that the note speaks of.
pub(super) const ENLARGED: &str = "4096x1728";

/// Frames in a segment of its.
pub(super) const SEGMENT: u64 = 15_000;

/// The lengths of film that it speaks of, in minutes.
pub(super) const MINUTES: [u64; 2] = [5, 128];

/// What is claimed to be so large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Pre,
    Mezz,
    Film,
    Peak,
}

impl What {
    pub(super) const ALL: [Self; 4] = [Self::Pre, Self::Mezz, Self::Film, Self::Peak];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pre => "pre-mezzanine",
            Self::Mezz => "upscaled mezzanine",
            Self::Film => "film",
            Self::Peak => "peak",
        }
    }

    pub(super) fn of(self, bytes: &Bytes) -> f64 {
        match self {
            Self::Pre => bytes.pre,
            Self::Mezz => bytes.mezz,
            Self::Film => bytes.film,
            Self::Peak => bytes.peak,
        }
    }
}

/// Gigabytes, from and to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Claim {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Claim {
    /// Is that within 10 % of the range? Else it is more or less.
    pub(super) fn against(self, bytes: f64) -> &'static str {
        if (0.9e9 * self.low..=1.1e9 * self.high).contains(&bytes) {
            "holds"
        } else if bytes > self.high * 1e9 {
            "more"
        } else {
            "less"
        }
    }

    pub(super) fn words(self) -> String {
        let Self { low, high } = self;
        if low == high { format!("{low} GB") } else { format!("{low} to {high} GB") }
    }
}

/// What the note says of an option.
pub(super) fn of(option: &str, what: What, minutes: u64) -> impl Iterator<Item = Claim> {
    let is_it =
        move |claim: &&(&str, What, u64, f64, f64)| (claim.0, claim.1, claim.2) == (option, what, minutes);
    CLAIMS.iter().filter(is_it).map(|&(.., low, high)| Claim { low, high })
}

const CLAIMS: [(&str, What, u64, f64, f64); 20] = [
    ("option0", What::Pre, 5, 1.1, 1.1),
    ("option0", What::Pre, 128, 28.0, 28.0),
    ("option0", What::Mezz, 5, 10.8, 10.8),
    ("option0", What::Mezz, 128, 277.0, 277.0),
    ("option0", What::Peak, 128, 320.0, 340.0),
    ("option1", What::Pre, 5, 0.7, 0.8),
    ("option1", What::Pre, 128, 18.0, 20.0),
    ("option1", What::Peak, 5, 12.0, 14.0),
    ("option1", What::Peak, 128, 320.0, 360.0),
    ("option3", What::Mezz, 5, 4.0, 8.0),
    ("option3", What::Mezz, 128, 100.0, 200.0),
    ("option3", What::Peak, 5, 6.0, 10.0),
    ("option3", What::Peak, 128, 130.0, 230.0),
    ("option4", What::Film, 5, 0.75, 1.3),
    ("option4", What::Film, 128, 19.0, 34.0),
    ("option4", What::Peak, 5, 1.0, 2.0),
    ("option4", What::Peak, 128, 20.0, 35.0),
    ("option5", What::Peak, 128, 25.0, 35.0),
    ("option5", What::Peak, 128, 50.0, 70.0),
    ("recommended", What::Peak, 128, 170.0, 210.0),
];
