//! The smallest `--engine` child: answers every sequence with its frames enlarged by repeating pixels. A first
//! argument makes it misbehave, for tests: `die`, `hang`, `short`, `wrong-size`, `babble`.
//!
//! For every sequence standard input brings one JSON line and `frames` frames; standard output takes one JSON line
//! and the enlarged frames of `emit`.

use rawstream::PixFmt;
use serde_json::{Value, json};
use std::{
    error::Error,
    io::{BufRead, Read, Write},
};

fn main() -> Result<(), Box<dyn Error>> {
    let fault = std::env::args().nth(1).unwrap_or_default();
    let mut stdin = std::io::stdin().lock();
    let mut stdout = std::io::stdout().lock();
    let mut line = String::new();
    while stdin.read_line(&mut line)? > 0 {
        let head: Value = serde_json::from_str(&line)?;
        line.clear();
        let number = |name: &str| head[name].as_u64().map(|n| n as usize).ok_or(format!("no {name}"));
        let (width, height, scale) = (number("width")?, number("height")?, number("scale")?);
        let fmt: PixFmt = head["pix_fmt"].as_str().ok_or("no pix_fmt")?.parse()?;
        if head["out_pix_fmt"] != head["pix_fmt"] || fmt.planes() != 1 {
            return Err("only packed formats, and the same in and out".into());
        }
        let emit = head["emit"][0].as_u64().ok_or("no emit")?..head["emit"][1].as_u64().ok_or("no emit")?;
        match fault.as_str() {
            "die" => return Err("out of luck".into()),
            "hang" => loop {
                std::thread::park();
            },
            "babble" => println!("hello"),
            _ => {}
        }
        let wide = if fault == "wrong-size" { width } else { scale * width };
        let answer = json!({ "width": wide, "height": scale * height, "frames": emit.end - emit.start });
        writeln!(stdout, "{answer}")?;
        let mut frame = vec![0; fmt.frame_bytes(width, height)];
        let pixel = 3 * fmt.sample_bytes();
        for n in 0..head["frames"].as_u64().ok_or("no frames")? {
            stdin.read_exact(&mut frame)?;
            if !emit.contains(&n) {
                continue;
            }
            if fault == "short" {
                return Ok(stdout.write_all(&frame)?);
            }
            for row in frame.chunks(width * pixel) {
                let row: Vec<u8> = row.chunks(pixel).flat_map(|p| p.repeat(scale)).collect();
                for _ in 0..scale {
                    stdout.write_all(&row)?;
                }
            }
        }
        stdout.flush()?;
    }
    Ok(())
}
