//! Names of languages.

/// ISO 639-2's terminological code, which tesseract goes by, of a language by its bibliographic code, which Matroska goes
/// by; any other name as it is. For the two scripts of Chinese tesseract has names of its own.
pub(super) fn terminological(name: &str) -> &str {
    match name {
        "alb" => "sqi",
        "arm" => "hye",
        "baq" => "eus",
        "chi" => "chi_sim",
        "cze" => "ces",
        "dut" => "nld",
        "fre" => "fra",
        "geo" => "kat",
        "ger" => "deu",
        "gre" => "ell",
        "ice" => "isl",
        "mac" => "mkd",
        "may" => "msa",
        "per" => "fas",
        "rum" => "ron",
        "slo" => "slk",
        "wel" => "cym",
        _ => name,
    }
}
