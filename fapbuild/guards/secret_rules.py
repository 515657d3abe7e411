"""Forms of keys and tokens, in addition to those that detect-secrets knows.

Prefixes are those that the services document, or that their own tokens have. Lengths are exact where a prefix
is short, and otherwise less than those of today, as they change.
"""

_HEX = "[0-9a-f]"
_WORD = "[0-9A-Za-z]"
_SAFE = "[0-9A-Za-z_-]"
_BASE64 = "[0-9A-Za-z+/]"
_UUID = f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"

TOKENS = (
    ("1Password service account", "ops_eyJ", f"{_BASE64}{{80,}}"),
    ("Adobe client secret", "p8e-", f"{_WORD}{{32}}"),
    ("age identity", "AGE-SECRET-KEY-1", "[0-9A-Z]{34,}"),
    ("Airtable token", "pat", f"{_WORD}{{14}}\\.{_HEX}{{64}}"),
    ("Alibaba Cloud access key", "LTAI", f"{_WORD}{{20}}"),
    ("Anthropic API key", "sk-ant-", f"{_SAFE}{{24,}}"),
    ("Atlassian API token", "ATATT3", "[0-9A-Za-z_=-]{60,}"),
    ("Atlassian client secret", "ATCTT3", "[0-9A-Za-z_=-]{60,}"),
    ("AWS Bedrock API key", "ABSK", f"{_BASE64}{{100,}}"),
    ("Bitbucket app password", "ATBB", f"{_WORD}{{32}}"),
    ("Braintree access token", "access_token$production$", f"[0-9a-z]{{16}}\\${_HEX}{{32}}"),
    ("Brevo API key", "xkeysib-", f"{_HEX}{{64}}-{_WORD}{{16}}"),
    ("Brevo SMTP key", "xsmtpsib-", f"{_HEX}{{64}}-{_WORD}{{16}}"),
    ("Buildkite token", "bkua_", f"{_HEX}{{24,}}"),
    ("CircleCI token", "CCIPAT_", f"{_WORD}{{22}}_{_HEX}{{40}}"),
    ("Cloudflare origin CA key", "v1.0-", f"{_HEX}{{24}}-{_HEX}{{146}}"),
    ("Contentful token", "CFPAT-", f"{_SAFE}{{25,}}"),
    ("crates.io token", "cio", f"{_WORD}{{32}}"),
    ("Databricks token", "dapi", f"{_HEX}{{32}}"),
    ("Defined Networking token", "dnkey-", f"{_SAFE}{{26}}-{_SAFE}{{52}}"),
    ("DigitalOcean token", "dop_v1_", f"{_HEX}{{38,}}"),
    ("DigitalOcean OAuth token", "doo_v1_", f"{_HEX}{{38,}}"),
    ("DigitalOcean refresh token", "dor_v1_", f"{_HEX}{{38,}}"),
    ("Docker Hub token", "dckr_pat_", f"{_SAFE}{{24,}}"),
    ("Docker Hub token", "dckr_oat_", f"{_SAFE}{{24,}}"),
    ("Doppler token", "dp.", f"(?:pt|st|ct|sa|scim|audit)\\.(?:[0-9a-z_-]+\\.)?{_WORD}{{40,}}"),
    ("Dropbox token", "sl.", f"{_SAFE}{{130,}}"),
    ("Duffel token", "duffel_live_", f"{_SAFE}{{25,}}"),
    ("Dynatrace token", "dt0c01.", "[0-9A-Z]{24}\\.[0-9A-Z]{64}"),
    ("EasyPost API key", "EZAK", f"{_WORD}{{54}}"),
    ("Facebook access token", "EAA", f"{_WORD}{{90,}}"),
    ("Figma token", "figd_", f"{_SAFE}{{24,}}"),
    ("Flutterwave secret key", "FLWSECK-", f"{_HEX}{{32}}-X"),
    ("Fly.io token", "fm1r_", f"{_BASE64}{{80,}}"),
    ("Fly.io token", "fm2_", f"{_BASE64}{{80,}}"),
    ("Fly.io token", "fo1_", f"{_SAFE}{{25,}}"),
    ("Frame.io token", "fio-u-", f"{_SAFE}{{38,}}"),
    ("GitHub fine-grained token", "github_pat_", "[0-9A-Za-z_]{36,}"),
    ("GitLab token", "glffct-", f"{_SAFE}{{20,}}"),
    ("Google API key", "AIza", f"{_SAFE}{{21,}}"),
    ("Google OAuth client secret", "GOCSPX-", f"{_SAFE}{{20,}}"),
    ("Google OAuth access token", "ya29.", f"{_SAFE}{{40,}}"),
    ("Grafana service account token", "glsa_", f"{_WORD}{{32}}_{_HEX}{{8}}"),
    ("Grafana Cloud token", "glc_eyJ", f"{_BASE64}{{40,}}"),
    ("Groq API key", "gsk_", f"{_WORD}{{31,}}"),
    ("Heroku API key", "HRKU-", f"(?:AA{_SAFE}{{58}}|{_UUID})"),
    ("HubSpot token", "pat-na", f"[0-9]-{_UUID}"),
    ("HubSpot token", "pat-eu", f"[0-9]-{_UUID}"),
    ("Hugging Face token", "hf_", f"{_WORD}{{30,}}"),
    ("Hugging Face organization token", "api_org_", f"{_WORD}{{30,}}"),
    ("Infracost token", "ico-", f"{_WORD}{{32}}"),
    ("JFrog API key", "AKCp", f"{_WORD}{{69}}"),
    ("JFrog reference token", "cmVmdGtu", f"{_WORD}{{56}}"),
    ("LangSmith API key", "lsv2_", f"(?:pt|sk)_{_HEX}{{32}}_{_HEX}{{10}}"),
    ("LaunchDarkly SDK key", "sdk-", _UUID),
    ("Linear API key", "lin_api_", f"{_WORD}{{24,}}"),
    ("Mailgun API key", "key-", f"{_HEX}{{32}}"),
    ("Mapbox secret token", "sk.eyJ", f"{_SAFE}{{40,}}\\.{_SAFE}{{20,}}"),
    ("MongoDB Atlas service account", "mdb_sa_sk_", f"{_SAFE}{{24,}}"),
    ("Neon API key", "napi_", "[0-9a-z]{60,}"),
    ("Netlify token", "nfp_", f"{_WORD}{{21,}}"),
    ("New Relic user key", "NRAK-", "[0-9A-Z]{20,}"),
    ("Notion token", "ntn_", f"{_WORD}{{27,}}"),
    ("Notion token", "secret_", f"{_WORD}{{43}}"),
    ("npm token", "npm_", f"{_WORD}{{21,}}"),
    ("NVIDIA API key", "nvapi-", f"{_SAFE}{{38,}}"),
    ("OpenAI project key", "sk-proj-", f"{_SAFE}{{20,}}"),
    ("OpenAI service account key", "sk-svcacct-", f"{_SAFE}{{20,}}"),
    ("OpenAI admin key", "sk-admin-", f"{_SAFE}{{20,}}"),
    ("OpenRouter API key", "sk-or-v1-", f"{_HEX}{{38,}}"),
    ("Perplexity API key", "pplx-", f"{_WORD}{{28,}}"),
    ("Pinecone API key", "pcsk_", f"{_WORD}{{5,}}_{_WORD}{{40,}}"),
    ("PlanetScale token", "pscale_", f"(?:tkn|pw|oauth)_{_SAFE}{{32,}}"),
    ("Plaid access token", "access-production-", _UUID),
    ("PostHog personal API key", "phx_", f"{_WORD}{{40,}}"),
    ("Postman API key", "PMAK-", f"{_HEX}{{24}}-{_HEX}{{34}}"),
    ("Prefect API key", "pnu_", f"{_WORD}{{21,}}"),
    ("Pulumi token", "pul-", f"{_HEX}{{24,}}"),
    ("Razorpay key", "rzp_live_", f"{_WORD}{{14}}"),
    ("ReadMe API key", "rdme_", "[0-9a-z]{42,}"),
    ("Replicate token", "r8_", f"{_WORD}{{22,}}"),
    ("Resend API key", "re_", f"{_WORD}{{8}}_{_WORD}{{24}}"),
    ("RubyGems API key", "rubygems_", f"{_HEX}{{28,}}"),
    ("Sentry token", "sntrys_", f"{_BASE64}{{40,}}"),
    ("Sentry token", "sntryu_", f"{_HEX}{{38,}}"),
    ("Shippo token", "shippo_live_", f"{_HEX}{{24,}}"),
    ("Shopify token", "shp", f"(?:at|ca|pa|ss)_{_HEX}{{32}}"),
    ("Slack token", "xoxe", f"(?:\\.xox[bp])?-[0-9]-{_WORD}{{40,}}"),
    ("Slack app token", "xapp-", f"[0-9]-[0-9A-Z]+-[0-9]+-{_HEX}{{40,}}"),
    ("SonarQube token", "sq", f"[apu]_{_HEX}{{40}}"),
    ("Sourcegraph token", "sgp_", f"(?:{_WORD}{{16}}_)?{_HEX}{{40}}"),
    ("Square access token", "sq0atp-", f"{_SAFE}{{20,}}"),
    ("Stripe webhook secret", "whsec_", f"{_BASE64}{{32,}}"),
    ("Supabase token", "sbp_", f"{_HEX}{{24,}}"),
    ("Supabase secret key", "sb_secret_", f"{_SAFE}{{20,}}"),
    ("Tailscale key", "tskey-", f"(?:auth|api|client|scim|webhook)-{_WORD}+-{_WORD}{{20,}}"),
    ("Typeform token", "tfp_", f"{_SAFE}{{40,}}"),
    ("Vault token", "hvs.", f"{_SAFE}{{24,}}"),
    ("Vault batch token", "hvb.", f"{_SAFE}{{24,}}"),
    ("Vault recovery token", "hvr.", f"{_SAFE}{{24,}}"),
    ("Vercel Blob token", "vercel_blob_rw_", f"{_WORD}{{16}}_{_WORD}{{30,}}"),
    ("xAI API key", "xai-", f"{_WORD}{{48,}}"),
    ("Yandex Cloud API key", "AQVN", f"{_SAFE}{{35,38}}"),
)
"""A kind of token, how it begins, and a pattern of the rest."""

FORMS = (
    ("Azure DevOps token", "JQQJ99", f"({_WORD}{{52}}JQQJ99{_WORD}{{18}}AZDO{_WORD}{{4}})"),
    ("New Relic license key", "NRAL", f"({_HEX}{{36}}NRAL)"),
    ("Terraform Cloud token", ".atlasv1.", f"({_WORD}{{14}}\\.atlasv1\\.{_SAFE}{{60,}})"),
    (
        "AWS secret key",
        "secret_access_key",
        f"secret_access_key[\"']?\\s*[=:]\\s*[\"']?({_BASE64}{{40}})(?!{_BASE64})",
    ),
    (
        "AWS secret key",
        "SECRET_ACCESS_KEY",
        f"SECRET_ACCESS_KEY[\"']?\\s*[=:]\\s*[\"']?({_BASE64}{{40}})(?!{_BASE64})",
    ),
    (
        "Azure client secret",
        "Q~",
        "(?<![0-9A-Za-z_~.-])([0-9A-Za-z_~.-]{3}[78]Q~[0-9A-Za-z_~.-]{31,34})(?![0-9A-Za-z_~.-])",
    ),
    ("Azure shared access key", "SharedAccessKey=", f"SharedAccessKey=({_BASE64}{{42,}}=*)"),
    (
        "Discord webhook",
        "/api/webhooks/",
        f"discord(?:app)?\\.com/api/webhooks/[0-9]{{10,}}/({_SAFE}{{40,}})",
    ),
    ("Kubernetes client key", "client-key-data", f"client-key-data:\\s*[\"']?({_BASE64}{{20,}})"),
    ("Kubernetes token", "kind: Config", f"token:\\s*[\"']?({_SAFE}[0-9A-Za-z_.-]{{30,}})"),
    (
        "Teams webhook",
        "webhook.office.com/",
        f"webhook\\.office\\.com/webhookb2/({_UUID}@{_UUID}/IncomingWebhook/{_HEX}{{32}}/{_UUID})",
    ),
    (
        "Slack workflow webhook",
        "hooks.slack.com/",
        "hooks\\.slack\\.com/(?:workflows|triggers)/([0-9A-Za-z/]{30,})",
    ),
    ("npm login", "_authToken", ":_authToken\\s*=\\s*[\"']?([^\\s\"'$]{8,})"),
    ("npm login", "_auth", f"(?<![0-9A-Za-z])_auth\\s*=\\s*[\"']?({_BASE64}{{8,}}=*)"),
    ("npm login", "_password", f":_password\\s*=\\s*[\"']?({_BASE64}{{8,}}=*)"),
    ("Yarn login", "npmAuthToken", "npmAuthToken:\\s*[\"']?([^\\s\"'$(){}]{8,})"),
    ("Private key", "PRIVATE KEY", "-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)(?: BLOCK)?-----"),
    ("PuTTY private key", "PuTTY-User-Key-File-", "(PuTTY-User-Key-File-[0-9]+:)"),
    ("OpenVPN static key", "OpenVPN Static key", "-----BEGIN (OpenVPN Static key V1)-----"),
    ("minisign secret key", "secret key", "untrusted comment: (?:minisign encrypted|signify) (secret key)"),
    ("WireGuard private key", "PrivateKey", f"PrivateKey\\s*=\\s*({_BASE64}{{43}}=)"),
    ("JSON Web Key", '"kty"', f'"d"\\s*:\\s*"({_SAFE}{{40,}})"'),
    ("Terraform state", '"lineage"', f'"lineage"\\s*:\\s*"({_UUID})"'),
)
"""A kind of secret, a word in its neighbourhood, and a pattern whose group is the secret."""

PUBLIC = ("AIzaSyAO_FJ2SlqU8Q4STEHLGCilw_Y9_11qcW8",)  # of YouTube's web pages, the same for all visitors
"""Keys that their owners publish, and that programs of others contain."""

PLACEHOLDERS = (
    "password passw0rd p@ssword p@ssw0rd passphrase passwd passcode pass pwd pw p secrets secret key "
    "token username users user usr name login auth credentials credential value here your my the some "
    "super private http https url uri proxy database db testing test fake dummy demo dev foobar foo bar "
    "baz qux spam eggs abc postgresql postgres mysql mariadb redis rabbitmq mongodb mongo minioadmin "
    "django admin root guest none null x y a b"
)
"""Words that stand for a password in tests and manuals, also several in a row."""
