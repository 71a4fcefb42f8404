//! What one callback costs inside the webhook, step by step and whole, beside the bare cost of hashing, decrypting and
//! copying the same bytes; and what checking a template message costs.
//!
//! `cargo bench -p benchmarks --bench hot_path`

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;

use aes::Aes256;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::NoPadding};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use simulator::Mode;
use testing::{
    account::{AES_KEY, APP_ID, TOKEN},
    event::{callback, text},
    now,
};
use wechat::{
    callback::{CallbackQuery, CallbackVerifier, MessageMode, OpenedCallback, aes::EncodingAesKey},
    message::Callback,
    reply::Addresses,
    rules::ReplyRules,
    secret::Secret,
    validate::template::Templates,
    xml::Tree,
};

/// What the user writes. The rule that it meets is the last one.
const CONTENT: &str = "你好，我的订单什么时候到？";
const RULES: [usize; 2] = [10, 2000];

/// The callback's XML.
fn message() -> String {
    text(CONTENT, 24_000_000_000_000_001)
}

/// A callback, and what the webhook has to answer it.
struct Scene {
    verifier: CallbackVerifier,
    query: CallbackQuery,
    body: Vec<u8>,
    now: i64,
}

impl Scene {
    fn new(mode: Mode) -> Self {
        let (query, body) = callback(message()).signed(mode);
        let pairs = query.iter().map(|(name, value)| (*name, value.as_str()));
        Self {
            verifier: CallbackVerifier {
                app_id: APP_ID.to_owned(),
                tokens: vec![Secret::new(TOKEN)],
                keys: vec![EncodingAesKey::parse(AES_KEY).unwrap()],
                mode: if mode == Mode::Plain {
                    MessageMode::Plain
                } else {
                    MessageMode::Safe
                },
                max_clock_skew: 0,
            },
            query: CallbackQuery::from_pairs(pairs).unwrap(),
            body,
            now: now(),
        }
    }

    fn open(&self) -> OpenedCallback {
        self.verifier.open(&self.query, &self.body, self.now).unwrap()
    }

    fn reply(&self, rules: &ReplyRules) -> String {
        let OpenedCallback { document, seal } = self.open();
        let callback = Callback::from_document(document).unwrap();
        let clear = write(&callback, rules, self.now);
        match seal {
            Some(seal) => seal.seal(&clear, self.now, [7; 16], "0123456789abcdef"),
            None => clear,
        }
    }
}

fn write(callback: &Callback, rules: &ReplyRules, now: i64) -> String {
    let addresses = Addresses {
        to: &callback.from,
        from: &callback.to,
        answers_message: true,
    };
    rules.answer(callback).unwrap().reply.passive.to_xml(addresses, now)
}

/// `count` rules of all kinds, of which only the last is met.
fn rules(count: usize) -> ReplyRules {
    let reply = json!({"type": "text", "content": "您的订单正在路上，预计明天送达。"});
    let rule = |index: usize| -> Value {
        let (kind, value) = match index % 4 {
            _ if index + 1 == count => ("contains", "订单".to_owned()),
            0 => ("exact", format!("问题{index}")),
            1 => ("prefix", format!("查询{index}号")),
            2 => ("contains", format!("退货{index}单")),
            _ => ("regex", format!("^(快递|物流){index}\\d+(哪|何)$")),
        };
        json!({"match": kind, "value": value, "reply": reply})
    };
    let document = json!({"keywords": (0..count).map(rule).collect::<Vec<_>>()});
    ReplyRules::parse(document.to_string().as_bytes()).unwrap()
}

/// The unavoidable work: the same bytes hashed, decrypted and copied.
fn bare(c: &mut Criterion) {
    let scene = Scene::new(Mode::Safe);
    let body = scene.body.as_slice();
    let ciphertext: Vec<u8> = body[..body.len() / 16 * 16].to_vec();
    let mut group = c.benchmark_group("bare");
    group.bench_function("SHA-1", |b| b.iter(|| Sha1::digest(black_box(body))));
    group.bench_function("AES-256-CBC decryption", |b| {
        b.iter(|| {
            let cipher = cbc::Decryptor::<Aes256>::new(&[1; 32].into(), &[2; 16].into());
            let mut bytes = black_box(&ciphertext).clone();
            cipher.decrypt_padded::<NoPadding>(&mut bytes).unwrap().len()
        });
    });
    group.bench_function("copy", |b| b.iter(|| black_box(body).to_vec()));
    group.finish();
}

fn steps(c: &mut Criterion) {
    let (plain, safe) = (Scene::new(Mode::Plain), Scene::new(Mode::Safe));
    let clear = message();
    let parse = || Callback::from_document(Tree::parse_callback(clear.as_bytes()).unwrap()).unwrap();
    let received = parse();
    let mut group = c.benchmark_group("step");
    group.bench_function("verify and parse, plain", |b| b.iter(|| plain.open()));
    group.bench_function("verify, decrypt and parse, safe", |b| b.iter(|| safe.open()));
    group.bench_function("parse", |b| b.iter(parse));
    for count in RULES {
        let rules = rules(count);
        group.bench_function(format!("match, {count} rules"), |b| {
            b.iter(|| rules.answer_text(black_box(CONTENT)).unwrap().rule.len());
        });
    }
    let rules = rules(RULES[0]);
    group.bench_function("write the reply", |b| b.iter(|| write(&received, &rules, plain.now)));
    let reply = write(&received, &rules, plain.now);
    let seal = safe.open().seal.unwrap();
    group.bench_function("encrypt the reply", |b| {
        b.iter(|| seal.seal(black_box(&reply), safe.now, [7; 16], "0123456789abcdef"));
    });
    group.finish();
}

fn whole(c: &mut Criterion) {
    let mut group = c.benchmark_group("callback");
    for count in RULES {
        let rules = rules(count);
        for (mode, name) in [(Mode::Plain, "plain"), (Mode::Safe, "safe")] {
            let scene = Scene::new(mode);
            group.bench_function(format!("{name}, {count} rules"), |b| {
                b.iter(|| scene.reply(&rules));
            });
        }
    }
    group.finish();
}

fn template(c: &mut Criterion) {
    let fields = ["thing1", "time2", "const3"].map(str::to_owned).to_vec();
    let templates: Templates = [("TEMPLATE".to_owned(), fields)].into_iter().collect();
    let data = [
        ("thing1", "项目审核"),
        ("time2", "2024年7月19日 10:00"),
        ("const3", "通过"),
    ];
    c.bench_function("template check", |b| {
        b.iter(|| templates.check("TEMPLATE", black_box(data)).len());
    });
}

criterion_group!(benches, bare, steps, whole, template);
criterion_main!(benches);
