#!/usr/bin/env python3
"""Drives a served desk with the official SDKs, unmodified: bk-itsm-sdk and bkapi-component-open.

usage: sdk.py BASE APP_CODE APP_SECRET [RECEIVER]

Every ticket names RECEIVER, if there is one, as the one to be told how it ended.
"""
import logging
import sys
import time

from bkapi_component.open.client import Client
from itsm_sdk.api.http import http_get, http_post
from itsm_sdk.itsm import ITSM

PATIENCE_S = 20
logging.disable(logging.CRITICAL)


class Component:
    """bkapi-component-open, with credentials in the gateway header."""

    def __init__(self, code, secret, endpoint, version):
        self.client = Client(endpoint=endpoint, bk_api_ver=version)
        self.client.update_bkapi_authorization(bk_app_code=code, bk_app_secret=secret, bk_username="admin")

    def call(self, operation, data, read=False):
        api = getattr(self.client.itsm, operation)
        answer = api(params=data) if read else api(data)
        return answer["result"], answer["message"], answer["data"]


class Sdk:
    """bk-itsm-sdk, through the component bus (credentials in the body) or a gateway (in the header)."""

    def __init__(self, code, secret, **where):
        self.client = ITSM(code, secret, **where).client

    def call(self, operation, data, read=False):
        named = getattr(self.client, operation, None)
        if named:
            return named(dict(data))
        return self.client.call_api(http_get if read else http_post, f"/v2/itsm/{operation}/", dict(data))


def clients(base, code, secret):
    """Returns a client for each way in which the SDKs reach a desk, by its name."""
    return {
        "bk-itsm-sdk over the component bus": Sdk(code, secret, bk_esb_url=base),
        "bk-itsm-sdk over a gateway": Sdk(code, secret, bk_apigateway_url=f"{base}/prod"),
        "bkapi-component-open v2": Component(code, secret, base, "v2"),
        "bkapi-component-open without version": Component(code, secret, base, ""),
    }


def form(**values):
    return [{"key": key, "value": value} for key, value in values.items()]


class Story:
    ended = 0

    def __init__(self, client, receiver):
        self.client = client
        self.receiver = receiver

    def must(self, operation, data, read=False):
        ok, message, answer = self.client.call(operation, data, read)
        assert ok and message == "success", f"{operation} {data}: {message}"
        return answer

    def create(self, service, creator, fields):
        meta = {"meta": {"callback_url": self.receiver}} if self.receiver else {}
        return self.must("create_ticket", {"service_id": service, "creator": creator, "fields": fields, **meta})["sn"]

    def end(self, sn, status):
        assert self.status(sn)["current_status"] == status
        Story.ended += 1

    def listed(self, sn):
        """Lists follow what was done, a moment later where the desk is in the cloud."""
        until = time.monotonic() + PATIENCE_S
        while self.must("get_tickets", {"sns": [sn]})["count"] != 1:
            assert time.monotonic() < until, f"{sn} is not listed"
            time.sleep(0.05)

    def request(self):
        return self.create(22, "lisi", form(title="申请权限", apply_content="按清单开通", ZHIDINGSHENPIREN="zhangsan,wangwu"))

    def act(self, sn, operator, node, action, **more):
        return self.must("operate_node", {"sn": sn, "operator": operator, "state_id": node, "action_type": action, **more})

    def ticket(self, sn, operator, action, **more):
        return self.must("operate_ticket", {"sn": sn, "operator": operator, "action_type": action, **more})

    def status(self, sn):
        return self.must("get_ticket_status", {"sn": sn}, read=True)

    def result(self, sn):
        return self.must("ticket_approval_result", {"sn": [sn]})[0]

    def run(self):
        services = {service["id"]: service["name"] for service in self.must("get_services", {}, read=True)}
        assert services[22] == "通用审批申请", services
        assert self.must("get_service_catalogs", {"has_service": "true"}, read=True)[0]["key"] == "root"
        assert self.must("get_service_detail", {"service_id": 17}, read=True)["fields"]

        sn = self.request()
        self.act(sn, "zhangsan", 3, "TRANSITION", fields=form(FZR_YIJIAN="true", FZR_BEIZHU="同意"))
        self.act(sn, "admin", 4, "TRANSITION", fields=form(GLY_YIJIAN="true"))
        assert self.result(sn)["approve_result"] is True
        self.end(sn, "FINISHED")
        assert self.must("get_ticket_info", {"sn": sn}, read=True)["title"] == "申请权限"
        assert self.must("get_ticket_logs", {"sn": sn}, read=True)["logs"][-1]["message"] == "流程结束."
        self.listed(sn)

        sn = self.request()
        self.act(sn, "wangwu", 3, "TRANSITION", fields=form(FZR_YIJIAN="false", FZR_LIYOU="材料不全"))
        assert self.result(sn)["approve_result"] is False
        self.end(sn, "FINISHED")

        sn = self.request()
        self.ticket(sn, "zhangsan", "SUSPEND", action_message="等待窗口")
        assert self.status(sn)["current_status"] == "SUSPENDED"
        self.ticket(sn, "zhangsan", "UNSUSPEND")
        self.act(sn, "zhangsan", 3, "DELIVER", processors_type="PERSON", processors="zhoujiu", action_message="今天休假")
        assert self.status(sn)["current_steps"][0]["processors"] == "zhoujiu"

        sn = self.request()
        self.ticket(sn, "lisi", "WITHDRAW")
        self.end(sn, "REVOKED")

        sn = self.create(19, "lisi", form(title="登录页异常", impact="3", urgency="3", GUZHANGLEIXING="DNS", GUZHANGMIAOSHU="超时"))
        self.act(sn, "qianqi", 3, "CLAIM")
        self.act(sn, "qianqi", 3, "TRANSITION", fields=form(YIXIANJIEGUO="JIEJUE", YIXIANSHUOMING="重启"))
        self.act(sn, "lisi", 5, "TRANSITION", fields=form(QUERENJIEGUO="HUIFU"))
        self.end(sn, "FINISHED")


def main():
    base, code, secret, receiver = (sys.argv[1:] + [None])[:4]
    for name, client in clients(base, code, secret).items():
        Story(client, receiver).run()
        print(f"{name}: approved, rejected, suspended, delivered, withdrawn, claimed")
    print(f"ended: {Story.ended}")


if __name__ == "__main__":
    main()
