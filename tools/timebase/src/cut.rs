//! Stretches of time that a film goes without.

use crate::Rational;

/// A stretch of time that is cut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Second at which it begins.
    pub at: Rational,
    /// Its length in seconds, not below zero.
    pub length: Rational,
}

/// A time without what is cut out before it; one within a cut is where that begins. `cuts` are in order and do not overlap.
/// `None` where it does not fit.
pub fn without(cuts: &[Cut], time: Rational) -> Option<Rational> {
    cuts.iter().take_while(|cut| cut.at < time).try_fold(time, |left, cut| {
        let gone = cut.length.min(time.checked_sub(cut.at)?);
        left.checked_sub(gone)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_out_takes_no_time() {
        let seconds = Rational::whole;
        let cut = |at, length| Cut { at: seconds(at), length: seconds(length) };
        let cuts = [cut(1, 3), cut(6, 1)];
        let left = |time| without(&cuts, seconds(time));
        assert_eq!([0, 1, 3, 4, 6, 7, 8].map(left), [0, 1, 1, 1, 3, 3, 4].map(|s| Some(seconds(s))));
        assert_eq!(without(&[], seconds(-5)), Some(seconds(-5)));
    }
}
