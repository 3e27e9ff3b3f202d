"""Connects to an imitated gateway of DingTalk with the unchanged library of the vendor (dingtalk-stream).

Usage: dingtalk_stream_client.py URL CLIENT_ID CLIENT_SECRET

URL is the address of the imitation. Answers what the gateway sends, until the library opens a second connection. Prints the
messages and pressed buttons that the library read as a JSON object.
"""

import json
import os
import sys

import dingtalk_stream
from dingtalk_stream import AckMessage

READ = {"messages": [], "buttons": []}


class Messages(dingtalk_stream.ChatbotHandler):
    async def process(self, callback):
        message = dingtalk_stream.ChatbotMessage.from_dict(callback.data)
        READ["messages"].append([message.message_id, message.sender_staff_id, message.text.content])
        return AckMessage.STATUS_OK, "OK"


class Buttons(dingtalk_stream.CallbackHandler):
    async def process(self, callback):
        press = dingtalk_stream.CardCallbackMessage.from_dict(callback.data)
        value = press.content["cardPrivateData"]["params"]["value"]
        READ["buttons"].append([press.card_instance_id, press.user_id, value])
        return AckMessage.STATUS_OK, {"userPrivateData": {"cardParamMap": {"answer": "OK"}}}


class Client(dingtalk_stream.DingTalkStreamClient):
    connections = 0

    def open_connection(self):
        self.connections += 1
        if self.connections > 1:
            print(json.dumps(READ), flush=True)
            # The library catches every other way to end the program.
            os._exit(0)
        return super().open_connection()


def main():
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    url, identity, secret = sys.argv[1:]
    dingtalk_stream.DingTalkStreamClient.OPEN_CONNECTION_API = f"{url}/v1.0/gateway/connections/open"
    client = Client(dingtalk_stream.Credential(identity, secret))
    client.register_callback_handler(dingtalk_stream.ChatbotMessage.TOPIC, Messages())
    client.register_callback_handler(dingtalk_stream.CallbackHandler.TOPIC_CARD_CALLBACK, Buttons())
    client.start_forever()


if __name__ == "__main__":
    main()
