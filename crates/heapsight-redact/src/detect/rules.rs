//! The forms of secrets, the most telling first.
//!
//! Prefixes of tokens are those that their vendors document, most of them so that scanners can find them. A group in a
//! pattern is the secret; the text around it is what it is known by.

use super::checks::{any, is_assigned, is_basic, is_card, is_email, is_iban, is_jwt, is_random_24};

/// What a secret looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A private key.
    PrivateKey,
    /// A token or key with the prefix of a vendor.
    Token,
    /// A signed token (JWT).
    Jwt,
    /// Credentials of an HTTP header.
    Authorization,
    /// A password.
    Password,
    /// A session cookie.
    Cookie,
    /// A number of a payment card.
    Card,
    /// A number of a bank account.
    Iban,
    /// An e-mail address.
    Email,
    /// Characters that look drawn by chance.
    Random,
}

impl Kind {
    /// A stable word for JSON.
    pub const fn code(self) -> &'static str {
        match self {
            Self::PrivateKey => "private_key",
            Self::Token => "token",
            Self::Jwt => "jwt",
            Self::Authorization => "authorization",
            Self::Password => "password",
            Self::Cookie => "cookie",
            Self::Card => "card_number",
            Self::Iban => "iban",
            Self::Email => "email",
            Self::Random => "random",
        }
    }
}

/// A form, what has it, and a test of what was found.
pub(super) struct Rule {
    pub(super) kind: Kind,
    pub(super) what: &'static str,
    pub(super) pattern: &'static str,
    pub(super) check: fn(&str) -> bool,
}

const fn token(what: &'static str, pattern: &'static str) -> Rule {
    Rule { kind: Kind::Token, what, pattern, check: any }
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: Kind::PrivateKey,
        what: "private key",
        pattern: r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
        check: any,
    },
    token("age secret key", r"\bAGE-SECRET-KEY-1[A-Z0-9]{50,}"),
    token(
        "AWS access key",
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{12}[A-Z0-9]{4}\b|\bA(?:KI|SI)A[A-Z0-9]{16}\b",
    ),
    token("GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{22,}"),
    token("GitLab token", r"\bgl(?:pat|dt|rt|ptt|cbt|oas|ft|soat|agent|imt)-[A-Za-z0-9_-]{20,}"),
    token("Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[0-9]-[A-Za-z0-9-]{20,}"),
    token("Slack webhook", r"\bhooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/]{20,})"),
    token("Discord webhook", r"\bdiscord(?:app)?\.com/api/webhooks/([0-9]+/[A-Za-z0-9_-]{20,})"),
    token("Stripe key", r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}|\bwhsec_[A-Za-z0-9+/]{24,}"),
    token("Google API key", r"\bAIza[A-Za-z0-9_-]{35}"),
    token("Google OAuth secret", r"\bya29\.[A-Za-z0-9_-]{20,}|\bGOCSPX-[A-Za-z0-9_-]{28}"),
    token("npm token", r"\bnpm_[A-Za-z0-9]{36}"),
    token("PyPI token", r"\bpypi-AgE[A-Za-z0-9_-]{40,}"),
    token("SendGrid key", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    token("Twilio key", r"\b(?:SK|AC)[0-9a-f]{32}\b"),
    token("Mailgun key", r"\bkey-[0-9a-z]{32}\b"),
    token("Mailchimp key", r"\b[0-9a-f]{32}-us[0-9]{1,2}\b"),
    token("AI service key", r"\bsk-(?:ant-|proj-|svcacct-|or-)?[A-Za-z0-9_-]{20,}"),
    token("Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}"),
    token("DigitalOcean token", r"\bdo[opr]_v1_[0-9a-f]{64}"),
    token("Shopify token", r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    token("Square token", r"\bsq0(?:atp|csp)-[A-Za-z0-9_-]{22,}"),
    token("Databricks token", r"\bdapi[0-9a-f]{32}"),
    token("Vault token", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}"),
    token("Telegram bot token", r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{32,}"),
    token("Azure storage key", r"\bAccountKey=([A-Za-z0-9+/]{40,}={0,2})"),
    token("Azure signature", r"[?&]sig=([A-Za-z0-9%+/]{30,})"),
    token("Linear key", r"\blin_(?:api|oauth)_[A-Za-z0-9]{32,}"),
    token("Postman key", r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    token("Atlassian token", r"\bATATT3[A-Za-z0-9_=-]{20,}"),
    token("Doppler token", r"\bdp\.(?:pt|st|ct|sa)\.[A-Za-z0-9._-]{40,}"),
    token("New Relic key", r"\bNRAK-[A-Z0-9]{27}"),
    token("Grafana token", r"\bglsa_[A-Za-z0-9]{32}_[0-9a-f]{8}|\bglc_[A-Za-z0-9+/]{32,}"),
    token("Sentry token", r"\bsntry[su]_[A-Za-z0-9_+/=-]{32,}"),
    token("Supabase token", r"\bsb(?:p|_secret)_[0-9A-Za-z_]{30,}"),
    token("PlanetScale token", r"\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9._-]{32,}"),
    token("Terraform token", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}"),
    token("Notion token", r"\bntn_[A-Za-z0-9]{40,}|\bsecret_[A-Za-z0-9]{43}\b"),
    token("Airtable token", r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    Rule {
        kind: Kind::Jwt,
        what: "JSON web token",
        pattern: r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*",
        check: is_jwt,
    },
    Rule {
        kind: Kind::Authorization,
        what: "credentials",
        pattern: r"(?i)\bBasic\s+([A-Za-z0-9+/]{8,}={0,2})",
        check: is_basic,
    },
    Rule {
        kind: Kind::Authorization,
        what: "bearer token",
        pattern: r"\b[Bb]earer\s+([A-Za-z0-9._~+/-]{16,}=*)",
        check: any,
    },
    Rule {
        kind: Kind::Password,
        what: "password in a URL",
        pattern: r"\b[a-z][a-z0-9+.-]*://[^\s/:@?#]*:([^\s/@?#]+)@",
        check: any,
    },
    Rule {
        kind: Kind::Password,
        what: "password",
        pattern: concat!(
            r#"(?i)\b[a-z_]*(?:password|passwd|pwd|passphrase|secret|api[_-]?key|access[_-]?key|auth[_-]?token"#,
            r#"|access[_-]?token|refresh[_-]?token|private[_-]?key)["']?\s*[=:]\s*["']?([^\s"'&;,]{6,})"#
        ),
        check: is_assigned,
    },
    Rule {
        kind: Kind::Cookie,
        what: "session cookie",
        pattern: r"(?i)\b(?:connect\.sid|[a-z_.-]*sess(?:ion)?(?:id|_id)?|sid|jsessionid|phpsessid)=([A-Za-z0-9%._~+/-]{16,})",
        check: any,
    },
    Rule {
        kind: Kind::Card,
        what: "card number",
        pattern: r"\b[0-9](?:[ -]?[0-9]){12,18}\b",
        check: is_card,
    },
    Rule {
        kind: Kind::Iban,
        what: "bank account",
        pattern: r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
        check: is_iban,
    },
    Rule {
        kind: Kind::Email,
        what: "e-mail address",
        pattern: r"\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b",
        check: is_email,
    },
    Rule {
        kind: Kind::Random,
        what: "random characters",
        pattern: r"\b[A-Za-z0-9]{24,128}\b",
        check: is_random_24,
    },
];
