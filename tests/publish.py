#!/usr/bin/env python3
"""Says something on a topic, as a robot or an edge site would, and prints what lies in a queue afterwards.

usage: publish.py TOPIC PAYLOAD QUEUE      runs in localstack's environment, which has boto3
"""
import os
import sys

import boto3

topic, payload, queue = sys.argv[1:4]
options = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"], "region_name": os.environ["AWS_REGION"]}
boto3.client("iot-data", **options).publish(topic=topic, qos=1, payload=payload.encode())
sqs = boto3.client("sqs", **options)
url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5, MaxNumberOfMessages=10).get("Messages", []):
    print(message["Body"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
