"""`l402-requests`: POSTs one JSON-RPC message, paying a 402 from a phoenixd-style wallet.

    l402_requests_client.py URL --wallet WALLET_URL --password P --body JSON [--header 'K: V']...

Prints {"peer", "status", "payments", "body"}.
"""

import argparse
import json

import httpx
from l402_requests import L402Client
from l402_requests.wallets import WalletBase


class PhoenixdWallet(WalletBase):
    def __init__(self, url, password):
        self.url = url
        self.password = password
        self.payments = 0

    async def pay_invoice(self, bolt11):
        async with httpx.AsyncClient(auth=("", self.password), timeout=60) as client:
            answer = await client.post(f"{self.url.rstrip('/')}/payinvoice", data={"invoice": bolt11})
        answer.raise_for_status()
        self.payments += 1
        return answer.json()["paymentPreimage"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--wallet", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--body", required=True)
    parser.add_argument("--header", action="append", default=[])
    options = parser.parse_args()
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    for line in options.header:
        name, value = line.split(":", 1)
        headers[name] = value.strip()
    wallet = PhoenixdWallet(options.wallet, options.password)
    client = L402Client(wallet=wallet)
    answer = client.post(options.url, content=options.body, headers=headers)
    print(
        json.dumps(
            {
                "peer": "l402-requests",
                "status": answer.status_code,
                "payments": wallet.payments,
                "body": answer.text,
            }
        )
    )


main()
