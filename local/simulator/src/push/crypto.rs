//! Signatures and message encryption of the push channel, both directions.
//!
//! See [WeChat Docs/消息推送](https://developers.weixin.qq.com/doc/oplatform/Mobile_App/WeChat_Login/message_push.html), from
//! which the vectors of the tests come.

use std::fmt;

use aes::Aes256;
use base64::{
    Engine,
    alphabet::STANDARD as ALPHABET,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD},
};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
use sha1::{Digest, Sha1};

/// Bytes. Messages are padded to a multiple of this, not of the cipher's block of 16.
const PAD_BLOCK: usize = 32;
/// Bytes before the message: 16 random ones, and its length.
const HEADER: usize = 20;

/// Accepts the two stray bits that 43 characters have more than a key of 256 bits.
const KEY_ENGINE: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// `signature` over token, timestamp and nonce; with the ciphertext as a fourth part, `msg_signature`.
#[must_use]
pub fn sign(parts: &[&str]) -> String {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable();
    let digest = Sha1::digest(sorted.concat());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why a ciphertext or a key was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    /// The EncodingAESKey is malformed.
    #[error("the EncodingAESKey is not 43 characters of base64")]
    Key,
    /// The ciphertext is malformed.
    #[error("Encrypt is not base64")]
    Base64,
    /// The ciphertext is incomplete.
    #[error("the length of the ciphertext is not a multiple of 32")]
    Length,
    /// The padding is not WeChat's.
    #[error("the padding is not PKCS#7 to 32 bytes (wrong key?)")]
    Padding,
    /// The frame is shorter than its message.
    #[error("the message is longer than its frame")]
    Frame,
    /// The message is for another account.
    #[error("the AppID after the message is not the account's")]
    AppId,
    /// The message is not text.
    #[error("the message is not UTF-8")]
    Utf8,
}

/// AES-256-CBC with WeChat's framing, for one account.
pub struct Cipher {
    key: [u8; 32],
    app_id: String,
}

impl fmt::Debug for Cipher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cipher")
            .field("app_id", &self.app_id)
            .finish_non_exhaustive()
    }
}

impl Cipher {
    /// A cipher with the account's key.
    ///
    /// # Errors
    ///
    /// [`CipherError::Key`].
    pub fn new(encoding_aes_key: &str, app_id: &str) -> Result<Self, CipherError> {
        let decoded = KEY_ENGINE
            .decode(format!("{encoding_aes_key}="))
            .map_err(|_| CipherError::Key)?;
        let key = decoded.try_into().map_err(|_| CipherError::Key)?;
        Ok(Self {
            key,
            app_id: app_id.to_owned(),
        })
    }

    /// Encrypts `message` to base64; `prefix` is the 16 random characters at the start of the frame.
    #[must_use]
    pub fn encrypt(&self, prefix: &str, message: impl AsRef<[u8]>) -> String {
        let message = message.as_ref();
        let mut frame = Vec::with_capacity(HEADER + message.len() + self.app_id.len() + PAD_BLOCK);
        frame.extend_from_slice(prefix.as_bytes());
        frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
        frame.extend_from_slice(message);
        frame.extend_from_slice(self.app_id.as_bytes());
        let pad = PAD_BLOCK - frame.len() % PAD_BLOCK;
        frame.resize(frame.len() + pad, pad as u8);
        let encryptor = cbc::Encryptor::<Aes256>::new(&self.key.into(), &self.iv().into());
        STANDARD.encode(encryptor.encrypt_padded_vec::<NoPadding>(&frame))
    }

    /// Decrypts base64 text and checks that the frame is this account's.
    ///
    /// # Errors
    ///
    /// What is wrong with the ciphertext.
    pub fn decrypt(&self, encrypted: &str) -> Result<String, CipherError> {
        let ciphertext = STANDARD.decode(encrypted).map_err(|_| CipherError::Base64)?;
        if ciphertext.is_empty() || ciphertext.len() % PAD_BLOCK != 0 {
            return Err(CipherError::Length);
        }
        let decryptor = cbc::Decryptor::<Aes256>::new(&self.key.into(), &self.iv().into());
        let padded = decryptor
            .decrypt_padded_vec::<NoPadding>(&ciphertext)
            .map_err(|_| CipherError::Length)?;
        let frame = strip_padding(&padded).ok_or(CipherError::Padding)?;
        let (header, rest) = frame.split_at_checked(HEADER).ok_or(CipherError::Frame)?;
        let length = header[16..]
            .iter()
            .fold(0, |length: usize, byte| length << 8 | usize::from(*byte));
        let (message, app_id) = rest.split_at_checked(length).ok_or(CipherError::Frame)?;
        if app_id != self.app_id.as_bytes() {
            return Err(CipherError::AppId);
        }
        String::from_utf8(message.to_vec()).map_err(|_| CipherError::Utf8)
    }

    fn iv(&self) -> [u8; 16] {
        let mut iv = [0; 16];
        iv.copy_from_slice(&self.key[..16]);
        iv
    }
}

fn strip_padding(padded: &[u8]) -> Option<&[u8]> {
    let pad = usize::from(*padded.last()?);
    if !(1..=PAD_BLOCK).contains(&pad) {
        return None;
    }
    let (frame, padding) = padded.split_at_checked(padded.len().checked_sub(pad)?)?;
    padding.iter().all(|byte| usize::from(*byte) == pad).then_some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of WeChat's documents.
    const TOKEN: &str = "AAAAA";
    const APP_ID: &str = "wxba5fad812f8e6fb9";
    const PUSHED: &str = "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUnnR8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km32IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04=";
    const REPLY: &str = "ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ==";

    fn official() -> Cipher {
        Cipher::new(&"A".repeat(43), APP_ID).unwrap()
    }

    #[test]
    fn signatures_match_the_official_vectors() {
        assert_eq!(
            sign(&[TOKEN, "1714036504", "1514711492"]),
            "f464b24fc39322e44b38aa78f5edd27bd1441696"
        );
        assert_eq!(
            sign(&[TOKEN, "1714037059", "486452656"]),
            "899cf89e464efb63f54ddac96b0a0a235f53aa78"
        );
        assert_eq!(
            sign(&[TOKEN, "1714112445", "415670741"]),
            "6c5c811b55cc85e0e1b54100749188c20beb3f5d"
        );
        assert_eq!(
            sign(&[TOKEN, "1714112445", "415670741", PUSHED]),
            "046e02f8204d34f8ba5fa3b1db94908f3df2e9b3"
        );
        assert_eq!(
            sign(&[TOKEN, "1713424427", "415670741", REPLY]),
            "1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1"
        );
    }

    #[test]
    fn decrypts_the_official_push_and_encrypts_it_again() {
        let message = official().decrypt(PUSHED).unwrap();
        assert_eq!(
            message,
            r#"{"ToUserName":"gh_97417a04a28d","FromUserName":"o9AgO5Kd5ggOC-bXrbNODIiE3bGY","CreateTime":1714112445,"MsgType":"event","Event":"debug_demo","debug_str":"hello world"}"#
        );
        assert_eq!(official().encrypt("a8eedb185eb2fecf", &message), PUSHED);
    }

    #[test]
    fn encrypts_the_official_reply() {
        assert_eq!(
            official().encrypt("707722b803182950", r#"{"demo_resp":"good luck"}"#),
            REPLY
        );
    }

    #[test]
    fn a_key_with_stray_bits_works() {
        let cipher = Cipher::new("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "wx0123456789abcdef").unwrap();
        let message = "<xml><ToUserName><![CDATA[gh_0a1b2c3d4e5f]]></ToUserName><FromUserName><![CDATA[oSheet_user_000000000000001]]></FromUserName><CreateTime>1767225600</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[你好]]></Content><MsgId>24000000000000001</MsgId></xml>";
        let encrypted = cipher.encrypt("0123456789abcdef", message);
        assert_eq!(
            encrypted,
            "Q3stYC6hdFzMh9T8HCvyDEyyIo7SrfCU7qIY00FhmKzxLhwDU4yRHtC29SoooV3tx7okhC5npvHDSKQvQM1w/V95xgY8LIJrOvztMGRxcT0MbRYknA26pTDuM5F2x5yHjX2JqkyLwcaQ9yEDvgqum2xVKBnBlSypyzSO25byXlc5AnVIAQG5cuDICk9WoIjiq5bgQ1/SAb0AHLl+Wu2Y8gzQzIJ65MZtutDml9vKJMUZf2OsGMl5AIbyFMMYaNxcI25CGEKFKFpRdndMKV9+Ksb3veQmDc+6Ry5//vbzkONUCcoE4H/ZkGgQJ+MJ/ImMO+NiI1h6hG7PNEA8BYjdqpL4T/OHeFBmZ9iSiuIUmB7yp4hgE6GcfqaQiDl7qrXvMdzTGNjzGnVzmVR/EVJc1OyS2yRmDhZGqt4aEAU68DU="
        );
        assert_eq!(
            sign(&["protoSheetTok01", "1767225600", "998877", &encrypted]),
            "c4a4f4806a7e81a3832242df8f3c3c527e44a836"
        );
        assert_eq!(cipher.decrypt(&encrypted).unwrap(), message);
    }

    #[test]
    fn every_length_of_padding_survives_a_round_trip() {
        for length in 0..=PAD_BLOCK {
            let message = "x".repeat(length);
            assert_eq!(
                official()
                    .decrypt(&official().encrypt("0123456789abcdef", &message))
                    .unwrap(),
                message
            );
        }
    }

    #[test]
    fn refuses_what_is_not_for_this_account() {
        let other_app = Cipher::new(&"A".repeat(43), "wx0123456789abcdef").unwrap();
        assert_eq!(other_app.decrypt(PUSHED), Err(CipherError::AppId));
        let other_key = Cipher::new(&"B".repeat(43), APP_ID).unwrap();
        assert!(other_key.decrypt(PUSHED).is_err());
        assert_eq!(official().decrypt("####"), Err(CipherError::Base64));
        assert_eq!(official().decrypt("QUFBQUFBQUFBQUFBQUFBQQ=="), Err(CipherError::Length));
        assert!(matches!(Cipher::new("short", APP_ID), Err(CipherError::Key)));
    }
}
