//! The functions of [`Simd`] against the standard library, on every level of the machine.

use simd::{Kernel, LANES, Level, Simd};

struct Functions<'a>(&'a [f32; LANES]);

impl Kernel for Functions<'_> {
    type Output = [[f32; LANES]; 3];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let mut out = [[0.0; LANES]; 3];
        // SAFETY: all arrays have a vector of values.
        unsafe {
            let x = s.load(self.0.as_ptr());
            s.store(out[0].as_mut_ptr(), s.exp(s.min(s.max(x, s.splat(-80.0)), s.splat(80.0))));
            s.store(out[1].as_mut_ptr(), s.tanh(x));
            s.store(out[2].as_mut_ptr(), s.logistic(x));
        }
        out
    }
}

#[test]
fn functions_are_close_on_every_level() {
    let mut all: Vec<f32> = (-40_000..40_000).map(|i| i as f32 * 0.002_5).collect();
    all.extend([0.0, -0.0, f32::MIN_POSITIVE, f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, 1e-30]);
    all.resize(all.len().next_multiple_of(LANES), 0.0);
    for level in Level::available() {
        for values in all.as_chunks().0 {
            let [exp, tanh, logistic] = level.run(Functions(values));
            for (i, &x) in values.iter().enumerate() {
                let x = f64::from(x);
                let e = x.clamp(-80.0, 80.0).exp();
                let close = |what: &str, have: f32, want: f64, limit: f64| {
                    assert!((f64::from(have) - want).abs() <= limit, "{level} {what}({x}) = {have}");
                };
                close("exp", exp[i], e, 3e-7 * e);
                close("tanh", tanh[i], x.tanh(), 2e-7);
                close("logistic", logistic[i], 1.0 / (1.0 + (-x).exp()), 2e-7);
            }
        }
    }
}
