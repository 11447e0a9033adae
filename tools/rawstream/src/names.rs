//! Names of the values of an enum, as they are typed and shown.

/// Reads the values of an enum by their names and synonyms (`FromStr`, whose error is the text before the colon), and
/// displays each by the first of its names.
#[macro_export]
macro_rules! names {
    ($type:ident, $unknown:literal: $($name:literal $(| $synonym:literal)* => $value:ident $(($of:path))?),+ $(,)?) => {
        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(name: &str) -> std::result::Result<Self, String> {
                match name {
                    $($name $(| $synonym)* => Ok(Self::$value $(($of))?),)+
                    _ => Err($unknown.into()),
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $(Self::$value $(($of))? => $name,)+
                })
            }
        }
    };
}
