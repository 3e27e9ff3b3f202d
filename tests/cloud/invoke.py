"""Calls a cloud function as its schedule does, and prints the answer.

Usage: invoke.py FUNCTION

The environment variables of AWS name the region and the address of the service.
"""

import os
import sys

import boto3

client = boto3.client("lambda", region_name=os.environ["AWS_REGION"])
answer = client.invoke(FunctionName=sys.argv[1], Payload=b"{}")
payload = answer["Payload"].read().decode()
if "FunctionError" in answer:
    sys.exit(payload)
print(payload)
