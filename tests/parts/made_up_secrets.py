"""Secrets that scanners know, made up."""

# Made up, and put together here so that no scanner takes this file for a leak.
SECRETS = {
    "AWS Access Key": "AKIA" + "Q3EGRZ7WTPLD2MNB",
    "GitHub Token": "ghp_" + "Kx9vT2mQ8rLw4ZpB7nYc1HsD6fGj3AeUo5iW",
    "Private Key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "Slack Token": "xoxb-" + "2384761920-5839201746-aBcDeFgHiJkLmNoPqRsTuVwX",
    "Stripe Access Key": "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc",
}
