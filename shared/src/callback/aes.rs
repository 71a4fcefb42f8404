//! The cipher of compat and safe mode: AES-256-CBC around a frame of `random(16) | length(4) | message | AppID`.
//!
//! Two things differ from the textbook, and a program that overlooks them fails on half of all messages: the padding
//! fills blocks of 32 bytes (so it is 1 to 32 bytes long), and the last character of most EncodingAESKeys carries stray
//! bits that a strict base64 decoder refuses.
//!
//! See [WeChat Docs/消息加解密说明](https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Message_encryption_and_decryption_instructions.html).

use std::fmt;

use aes::{
    Aes256,
    cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::NoPadding},
};
use base64::{
    Engine, alphabet,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD},
};

/// A decoder for EncodingAESKey plus `=`, whose last character may hold bits that belong to no byte.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);
/// Characters of an EncodingAESKey.
const ENCODING_AES_KEY_LENGTH: usize = 43;
/// Bytes. WeChat pads to a multiple of these, twice the block of the cipher.
const PADDING_BLOCK: usize = 32;
/// Bytes before the message: 16 random ones and 4 of its length.
const FRAME_HEADER: usize = 20;

/// The account's EncodingAESKey, decoded: 32 bytes, whose first 16 are also the initialization vector.
#[derive(Clone)]
pub struct EncodingAesKey([u8; 32]);

/// Why an EncodingAESKey cannot be used. Never holds the key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// The key does not have 43 characters.
    #[error("an EncodingAESKey has 43 characters, this one has {0} / EncodingAESKey 应为 43 个字符，当前为 {0} 个")]
    Length(usize),
    /// The key has other characters than `A-Z`, `a-z` and `0-9`.
    #[error("an EncodingAESKey consists of letters and digits only / EncodingAESKey 只能由字母和数字组成")]
    Characters,
}

/// Why a ciphertext was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecryptError {
    /// `Encrypt` is not base64.
    #[error("Encrypt is not base64 / Encrypt 不是 base64")]
    Base64,
    /// The ciphertext is empty or not a multiple of 32 bytes.
    #[error("the ciphertext has {0} bytes, not a positive multiple of 32 / 密文为 {0} 字节，应为 32 的正整数倍")]
    Length(usize),
    /// The padding is not 1 to 32 equal bytes. The usual cause is another key.
    #[error("the padding is wrong: most likely another EncodingAESKey / 填充错误，多半是 EncodingAESKey 不一致")]
    Padding,
    /// The frame is shorter than the length that it states.
    #[error("the frame is shorter than the message length in it / 解密后的内容短于其中声明的消息长度")]
    Frame,
    /// The message names another AppID.
    #[error("the message was encrypted for another AppID / 消息属于另一个 AppID")]
    AppId,
}

impl EncodingAesKey {
    /// Decodes the 43 characters that the console shows.
    ///
    /// # Errors
    /// [`KeyError`] when the text has another length or other characters.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let length = text.chars().count();
        if length != ENCODING_AES_KEY_LENGTH {
            return Err(KeyError::Length(length));
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(KeyError::Characters);
        }
        let decoded = LENIENT.decode(format!("{text}=")).map_err(|_| KeyError::Characters)?;
        decoded.try_into().map(Self).map_err(|_| KeyError::Characters)
    }

    /// Encrypts `message` for the account `app_id` into the text of `Encrypt`. `random` must be new for each message.
    #[must_use]
    pub fn encrypt(&self, random: [u8; 16], message: impl AsRef<[u8]>, app_id: &str) -> String {
        let message = message.as_ref();
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let mut frame = Vec::with_capacity(FRAME_HEADER + message.len() + app_id.len() + PADDING_BLOCK);
        frame.extend_from_slice(&random);
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(message);
        frame.extend_from_slice(app_id.as_bytes());
        let padding = PADDING_BLOCK - frame.len() % PADDING_BLOCK;
        frame.resize(frame.len() + padding, padding as u8);
        let encryptor = cbc::Encryptor::<Aes256>::new(&self.0.into(), &self.iv().into());
        STANDARD.encode(encryptor.encrypt_padded_vec::<NoPadding>(&frame))
    }

    /// Decrypts the text of `Encrypt` that was made for the account `app_id`. Replaces bytes that are not UTF-8 by U+FFFD:
    /// one broken character must not cost the message.
    ///
    /// # Errors
    /// [`DecryptError`] when WeChat cannot have made the text for this account with this key.
    pub fn decrypt(&self, encrypt: &str, app_id: &str) -> Result<String, DecryptError> {
        let text: String = encrypt.split_ascii_whitespace().collect();
        let ciphertext = STANDARD.decode(text).map_err(|_| DecryptError::Base64)?;
        if ciphertext.is_empty() || ciphertext.len() % PADDING_BLOCK != 0 {
            return Err(DecryptError::Length(ciphertext.len()));
        }
        let decryptor = cbc::Decryptor::<Aes256>::new(&self.0.into(), &self.iv().into());
        let padded = decryptor
            .decrypt_padded_vec::<NoPadding>(&ciphertext)
            .map_err(|_| DecryptError::Length(ciphertext.len()))?;
        let (message, owner) = split_frame(strip_padding(&padded)?)?;
        if owner != app_id.as_bytes() {
            return Err(DecryptError::AppId);
        }
        Ok(String::from_utf8_lossy(message).into_owned())
    }

    fn iv(&self) -> [u8; 16] {
        let mut iv = [0; 16];
        iv.copy_from_slice(&self.0[..16]);
        iv
    }
}

impl fmt::Debug for EncodingAesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncodingAesKey(..)")
    }
}

fn strip_padding(padded: &[u8]) -> Result<&[u8], DecryptError> {
    let padding = usize::from(*padded.last().ok_or(DecryptError::Padding)?);
    if !(1..=PADDING_BLOCK).contains(&padding) || padding > padded.len() {
        return Err(DecryptError::Padding);
    }
    let (frame, fill) = padded.split_at(padded.len() - padding);
    if fill.iter().any(|&byte| usize::from(byte) != padding) {
        return Err(DecryptError::Padding);
    }
    Ok(frame)
}

/// The message and the AppID of a frame.
fn split_frame(frame: &[u8]) -> Result<(&[u8], &[u8]), DecryptError> {
    let (header, rest) = frame.split_at_checked(FRAME_HEADER).ok_or(DecryptError::Frame)?;
    let length = header[16..]
        .iter()
        .fold(0_usize, |length, &byte| length << 8 | usize::from(byte));
    rest.split_at_checked(length).ok_or(DecryptError::Frame)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OFFICIAL_APP_ID: &str = "wxba5fad812f8e6fb9";
    const NON_CANONICAL_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

    fn official_key() -> EncodingAesKey {
        EncodingAesKey::parse(&"A".repeat(43)).unwrap()
    }

    /// Encrypts a frame of any shape, also one that WeChat never makes.
    fn encrypt_raw(key: &EncodingAesKey, padded: &[u8]) -> String {
        let encryptor = cbc::Encryptor::<Aes256>::new(&key.0.into(), &key.iv().into());
        STANDARD.encode(encryptor.encrypt_padded_vec::<NoPadding>(padded))
    }

    #[test]
    fn official_vectors() {
        let received = "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUnnR8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY2km32IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04=";
        let message = official_key().decrypt(received, OFFICIAL_APP_ID).unwrap();
        assert_eq!(message.len(), 167);
        assert!(message.contains(r#""debug_str":"hello world""#));

        let reply = official_key().encrypt(*b"707722b803182950", r#"{"demo_resp":"good luck"}"#, OFFICIAL_APP_ID);
        assert_eq!(
            reply,
            "ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ=="
        );
    }

    #[test]
    fn a_key_with_stray_bits_in_its_last_character_works() {
        let key = EncodingAesKey::parse(NON_CANONICAL_KEY).unwrap();
        assert_eq!(key.0[..4], [0x69, 0xb7, 0x1d, 0x79]);
        assert_eq!(key.0[31], 0x51);
    }

    #[test]
    fn all_32_paddings_open() {
        let key = official_key();
        for extra in 0..PADDING_BLOCK {
            let message = "x".repeat(extra);
            let encrypt = key.encrypt([7; 16], &message, OFFICIAL_APP_ID);
            assert_eq!(
                key.decrypt(&encrypt, OFFICIAL_APP_ID).unwrap(),
                message,
                "{extra} bytes"
            );
        }
    }

    #[test]
    fn hostile_frames_are_refused_without_a_panic() {
        let key = official_key();
        let refused = |padded: &[u8]| key.decrypt(&encrypt_raw(&key, padded), OFFICIAL_APP_ID).unwrap_err();
        let mut past_the_end = vec![0; 16];
        past_the_end.extend_from_slice(&u32::MAX.to_be_bytes());
        past_the_end.extend_from_slice(&[12; 12]);
        assert_eq!(refused(&past_the_end), DecryptError::Frame);
        assert_eq!(refused(&[0; 32]), DecryptError::Padding, "padding is at least 1");
        assert_eq!(refused(&[33; 64]), DecryptError::Padding);
        assert_eq!(refused(&[32; 32]), DecryptError::Frame, "nothing but padding");
        let mut unequal = [5; 32];
        unequal[28] = 4;
        assert_eq!(refused(&unequal), DecryptError::Padding);
        for (encrypt, error) in [
            ("", DecryptError::Length(0)),
            ("AAAA", DecryptError::Length(3)),
            ("not base64!", DecryptError::Base64),
        ] {
            assert_eq!(key.decrypt(encrypt, OFFICIAL_APP_ID).unwrap_err(), error);
        }
        assert_eq!(
            key.decrypt(&STANDARD.encode([0; 48]), OFFICIAL_APP_ID).unwrap_err(),
            DecryptError::Length(48)
        );
    }

    #[test]
    fn a_message_for_another_account_is_refused() {
        let key = official_key();
        let encrypt = key.encrypt([1; 16], "hello", "wx0000000000000000");
        assert_eq!(key.decrypt(&encrypt, OFFICIAL_APP_ID).unwrap_err(), DecryptError::AppId);
        let longer = key.encrypt([1; 16], "hello", &format!("{OFFICIAL_APP_ID}0"));
        assert_eq!(key.decrypt(&longer, OFFICIAL_APP_ID).unwrap_err(), DecryptError::AppId);
    }

    #[test]
    fn malformed_keys_are_named_and_never_shown() {
        assert_eq!(EncodingAesKey::parse("short").unwrap_err(), KeyError::Length(5));
        assert_eq!(
            EncodingAesKey::parse(&"+".repeat(43)).unwrap_err(),
            KeyError::Characters
        );
        assert_eq!(
            EncodingAesKey::parse(&"密".repeat(43)).unwrap_err(),
            KeyError::Characters
        );
        assert_eq!(format!("{:?}", official_key()), "EncodingAesKey(..)");
    }

    proptest! {
        #[test]
        fn what_is_encrypted_opens_for_its_account_and_no_other(
            key in "[a-zA-Z0-9]{43}",
            other in "[a-zA-Z0-9]{43}",
            message in ".{0,80}",
            random: [u8; 16],
        ) {
            prop_assume!(key[..42] != other[..42]);
            let sealed = EncodingAesKey::parse(&key).unwrap().encrypt(random, &message, OFFICIAL_APP_ID);
            let open = |key: &str, app_id| EncodingAesKey::parse(key).unwrap().decrypt(&sealed, app_id);
            prop_assert_eq!(open(&key, OFFICIAL_APP_ID), Ok(message));
            prop_assert_eq!(open(&key, "wx0123456789abcdef"), Err(DecryptError::AppId));
            prop_assert!(open(&other, OFFICIAL_APP_ID).is_err());
        }
    }
}
