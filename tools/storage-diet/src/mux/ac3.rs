//! What AC-3 and E-AC-3 say of their loudness and of how they are mixed, which no decoder hands on to an encoder
//! (ATSC A/52, 5.3.2 and E.1.2.2).

/// What the header of a frame says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// Loudness of dialogue, in dB below full scale: 1 to 31.
    pub dialnorm: u8,
    /// How loud the centre is in stereo; absent where there is none.
    pub center: Option<f32>,
    /// How loud the surround channels are in stereo; absent where there are none.
    pub surround: Option<f32>,
    /// Whether stereo is Dolby Surround: 0 not said, 1 no, 2 yes; absent where it is not stereo.
    pub dolby_surround: Option<u8>,
}

impl Mix {
    /// Of the first 8 bytes of a frame; `None` where they do not begin one.
    pub fn of(frame: &[u8]) -> Option<Self> {
        let &[0x0b, 0x77, _, _, _, a, b, c, ..] = frame else { return None };
        let bits = u32::from_be_bytes([a, b, c, 0]);
        let mut at = 0;
        let mut take = |count: u32| {
            at += count;
            (bits >> (32 - at)) as usize & ((1 << count) - 1)
        };
        let mut mix = Self { dialnorm: 31, center: None, surround: None, dolby_surround: None };
        // In E-AC-3, from version 11 on, loudness comes next. In AC-3 what comes before it depends on the channels.
        if take(5) < 11 {
            let _bsmod = take(3);
            let acmod = take(3);
            if matches!(acmod, 3 | 5 | 7) {
                mix.center = Some([0.707, 0.595, 0.5, 0.595][take(2)]);
            }
            if acmod >= 4 {
                mix.surround = Some([0.707, 0.5, 0.0, 0.5][take(2)]);
            }
            if acmod == 2 {
                // 3 is reserved.
                mix.dolby_surround = Some(take(2) as u8 % 3);
            }
            let _lfeon = take(1);
        }
        // 0 is reserved, to be taken as 31.
        mix.dialnorm = match take(5) as u8 {
            0 => 31,
            said => said,
        };
        Some(mix)
    }

    /// The options that have ffmpeg's encoders say the same.
    pub fn options(&self) -> Vec<String> {
        let option = |name: &str, value: Option<String>| value.map(|value| [format!("-{name}"), value]);
        [
            option("center_mixlev", self.center.map(|level| level.to_string())),
            option("surround_mixlev", self.surround.map(|level| level.to_string())),
            option("dsur_mode", self.dolby_surround.map(|mode| mode.to_string())),
            option("dialnorm", Some(format!("-{}", self.dialnorm))),
        ]
        .into_iter()
        .flatten()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame whose bytes from the sixth on are these bits.
    fn frame(bits: &str) -> Vec<u8> {
        let bits: String = bits.chars().filter(|c| !c.is_whitespace()).collect();
        let tail = u32::from_str_radix(&format!("{bits:0<24}"), 2).unwrap();
        [&[0x0b, 0x77, 1, 2, 3][..], &tail.to_be_bytes()[1..]].concat()
    }

    fn options(bits: &str) -> String {
        Mix::of(&frame(bits)).unwrap().options().join(" ")
    }

    #[test]
    fn ac3_says_how_its_channels_are_mixed() {
        // bsid 8, bsmod 0, acmod 7, cmixlev 0, surmixlev 1, lfeon 1, dialnorm 24
        assert_eq!(
            options("01000 000 111 00 01 1 11000"),
            "-center_mixlev 0.707 -surround_mixlev 0.5 -dialnorm -24"
        );
        // acmod 2, dsurmod 2, no lfe
        assert_eq!(options("01000 000 010 10 0 11011"), "-dsur_mode 2 -dialnorm -27");
        assert_eq!(options("01000 000 010 11 0 11011"), "-dsur_mode 0 -dialnorm -27", "reserved");
        // acmod 1, mono
        assert_eq!(options("01000 000 001 0 00001"), "-dialnorm -1");
        // acmod 3: a centre, no surround; acmod 4: a surround, no centre
        assert_eq!(options("01000 000 011 10 0 10000"), "-center_mixlev 0.5 -dialnorm -16");
        assert_eq!(options("01000 000 100 10 0 10000"), "-surround_mixlev 0 -dialnorm -16");
    }

    #[test]
    fn eac3_says_how_loud_it_is() {
        assert_eq!(options("10000 10111 111 11"), "-dialnorm -23");
        assert_eq!(options("10000 00000"), "-dialnorm -31", "0 is reserved");
    }

    #[test]
    fn what_begins_no_frame_says_nothing() {
        assert_eq!(Mix::of(&[]), None);
        assert_eq!(Mix::of(&[0x0b, 0x77, 0, 0, 0, 0, 0]), None);
        assert_eq!(Mix::of(&[0x77, 0x0b, 0, 0, 0, 0, 0, 0]), None);
    }
}
