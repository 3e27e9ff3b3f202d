#!/usr/bin/env bash
# In OpenLDAP's slapd, an account that was unlocked by pwdAccountLockedTime is locked again by the next single wrong password.
#
# Expected: pwdMaxFailure is 3, so an account that an administrator unlocked permits two wrong passwords again, and the third locks it.
# Happens: "replace: pwdAccountLockedTime" without a value unlocks the account, but the overlay ppolicy keeps the pwdFailureTime values of
#   the old wrong passwords. The next wrong password locks the account at once. Only a login with the right password in between removes
#   them. A modify that also replaces pwdFailureTime fails with 19, even for the rootdn, and unlocks nothing. It needs the control Relax
#   Rules and the access right "manage": with the right "write" it fails with 50.
# Where a service desk meets it: an agent or an automation unlocks the account of a caller. The old password is still stored in the
#   caller's phone or mail program, which tries it once, and the caller calls again about the same ticket.
# What to do: replace both attributes in one modify with the control Relax Rules (ldapmodify -e '!relax'), and give the service account
#   the right "manage" on pwdFailureTime only. Or set pwdFailureCountInterval in the policy, so that old wrong passwords expire.
# Exit status: 0 if the behavior is as described, 1 if it changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Debian packages are extracted into the temporary folder. apt-get gets a cache there, and new package lists only if the lists of this
# machine are missing or old.
apt=(apt-get -q -o "Dir::Cache=$work/apt" -o "APT::Sandbox::User=")
new=(-o "Dir::State::Lists=$work/lists")
packages=(slapd=2.5.13+dfsg-5 ldap-utils=2.5.13+dfsg-5 libldap-2.5-0=2.5.13+dfsg-5 libsasl2-2 libltdl7 libwrap0)
mkdir -p "$work/apt/archives/partial" "$work/lists/partial" "$work/data" "$work/packages"
(
    cd "$work/packages"
    "${apt[@]}" download "${packages[@]}" || { "${apt[@]}" "${new[@]}" update && "${apt[@]}" "${new[@]}" download "${packages[@]}"; }
) >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$work/root"; done
machine=$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$work/root/usr/lib/$machine:$work/root/lib/$machine" LDAPNOINIT=1

cat > "$work/slapd.conf" <<CONF
include "$work/root/etc/ldap/schema/core.schema"
include "$work/root/etc/ldap/schema/cosine.schema"
include "$work/root/etc/ldap/schema/inetorgperson.schema"
modulepath "$work/root/usr/lib/ldap"
moduleload back_mdb
moduleload ppolicy
database mdb
suffix "dc=example,dc=com"
rootdn "cn=admin,dc=example,dc=com"
rootpw admin-secret
directory "$work/data"
maxsize 67108864
overlay ppolicy
ppolicy_default "cn=default,dc=example,dc=com"
access to attrs=userPassword
    by anonymous auth
access to attrs=pwdAccountLockedTime
    by dn.exact="cn=writer,dc=example,dc=com" write
    by dn.exact="cn=manager,dc=example,dc=com" write
access to attrs=pwdFailureTime
    by dn.exact="cn=writer,dc=example,dc=com" write
    by dn.exact="cn=manager,dc=example,dc=com" manage
access to *
    by dn.exact="cn=writer,dc=example,dc=com" read
    by dn.exact="cn=manager,dc=example,dc=com" read
CONF
{
    printf 'dn: dc=example,dc=com\nobjectClass: organization\nobjectClass: dcObject\ndc: example\no: Example\n'
    for name in default expiring; do
        printf '\ndn: cn=%s,dc=example,dc=com\nobjectClass: device\nobjectClass: pwdPolicy\ncn: %s\n' "$name" "$name"
        printf 'pwdAttribute: userPassword\npwdLockout: TRUE\npwdLockoutDuration: 0\npwdMaxFailure: 3\n'
        if [ "$name" = expiring ]; then echo 'pwdFailureCountInterval: 3'; fi
    done
    for name in writer manager zhangsan lisi; do
        printf '\ndn: cn=%s,dc=example,dc=com\nobjectClass: inetOrgPerson\ncn: %s\nsn: %s\nuserPassword: %s-secret\n' "$name" "$name" "$name" "$name"
        if [ "$name" = lisi ]; then echo 'pwdPolicySubentry: cn=expiring,dc=example,dc=com'; fi
    done
} > "$work/people.ldif"
# slapd reserves memory for every file that it may open.
ulimit -n 1024
slapd=$work/root/usr/sbin/slapd
"$slapd" -T add -q -f "$work/slapd.conf" -l "$work/people.ldif"

# slapd cannot choose a free port, so it is started again at another port if the port is in use.
for _ in $(seq 10); do
    url=ldap://127.0.0.1:$((20000 + RANDOM % 10000))
    "$slapd" -d none -f "$work/slapd.conf" -h "$url" > "$work/log" 2>&1 &
    server=$!
    trap 'kill "$server" 2>/dev/null && wait "$server" || true; rm -rf "$work"' EXIT
    while kill -0 "$server" 2>/dev/null && ! grep -q "slapd starting" "$work/log"; do sleep 0.1; done
    if grep -q "slapd starting" "$work/log"; then break; fi
done
grep -q "slapd starting" "$work/log" || { cat "$work/log" >&2; exit 1; }

# client PROGRAM NAME PASSWORD [ARGUMENT...]: runs a program of ldap-utils. The output goes to the file "answer".
client() {
    local program=$1 name=$2 password=$3
    shift 3
    "$work/root/usr/bin/$program" -x -H "$url" -D "cn=$name,dc=example,dc=com" -w "$password" "$@" > "$work/answer" 2>&1
}

# state NAME: prints the number of pwdFailureTime values of a person and whether the person is locked.
state() {
    client ldapsearch admin admin-secret -LLL -b "cn=$1,dc=example,dc=com" -s base pwdFailureTime pwdAccountLockedTime
    printf 'pwdFailureTime: %s, ' "$(grep -c '^pwdFailureTime:' "$work/answer")"
    if grep -q '^pwdAccountLockedTime:' "$work/answer"; then echo locked; else echo "not locked"; fi
}

# wrong NAME COUNT, right NAME: try to log in. Print the state after that.
wrong() {
    for _ in $(seq "$2"); do
        if client ldapwhoami "$1" wrong; then echo "a wrong password was accepted"; fi
    done
    echo "  $1, $2 wrong: $(state "$1")"
}
right() {
    local status=0
    client ldapwhoami "$1" "$1-secret" || status=$?
    echo "  $1, right password: result $status, $(state "$1")"
}

# unlock NAME BY ATTRIBUTES [OPTION...]: removes all values of the attributes from a person. Prints the result and the state after that.
unlock() {
    local name=$1 by=$2 attributes=$3 attribute status=0
    shift 3
    {
        printf 'dn: cn=%s,dc=example,dc=com\nchangetype: modify\n' "$name"
        for attribute in $attributes; do printf 'replace: %s\n-\n' "$attribute"; done
    } > "$work/change.ldif"
    client ldapmodify "$by" "$by-secret" -f "$work/change.ldif" "$@" || status=$?
    mv "$work/answer" "$work/modified"
    echo "  $by replaces $attributes${*:+ with Relax Rules}: result $status, $(state "$name")"
    sed -n 's/^.*additional info: /    /p' "$work/modified"
}
{
    echo "slapd $("$slapd" -VV 2>&1 | sed -n 's/.*slapd \([^ ]*\).*/\1/p'), pwdMaxFailure: 3"
    echo "unlocked, no login in between"
    wrong zhangsan 3
    right zhangsan
    unlock zhangsan writer pwdAccountLockedTime
    wrong zhangsan 1
    right zhangsan
    echo "unlocked, a login in between"
    unlock zhangsan writer pwdAccountLockedTime
    right zhangsan
    wrong zhangsan 1
    right zhangsan
    echo "both attributes"
    wrong zhangsan 3
    for by in writer manager admin; do unlock zhangsan "$by" "pwdAccountLockedTime pwdFailureTime"; done
    unlock zhangsan writer "pwdAccountLockedTime pwdFailureTime" -e '!relax'
    unlock zhangsan manager "pwdAccountLockedTime pwdFailureTime" -e '!relax'
    wrong zhangsan 1
    right zhangsan
    echo "pwdFailureCountInterval: 3, unlocked after 4 seconds"
    wrong lisi 3
    sleep 4
    unlock lisi writer pwdAccountLockedTime
    wrong lisi 1
    right lisi
} | tee "$work/seen"

cat > "$work/expected" <<'OUT'
slapd 2.5.13+dfsg-5, pwdMaxFailure: 3
unlocked, no login in between
  zhangsan, 3 wrong: pwdFailureTime: 3, locked
  zhangsan, right password: result 49, pwdFailureTime: 3, locked
  writer replaces pwdAccountLockedTime: result 0, pwdFailureTime: 3, not locked
  zhangsan, 1 wrong: pwdFailureTime: 3, locked
  zhangsan, right password: result 49, pwdFailureTime: 3, locked
unlocked, a login in between
  writer replaces pwdAccountLockedTime: result 0, pwdFailureTime: 3, not locked
  zhangsan, right password: result 0, pwdFailureTime: 0, not locked
  zhangsan, 1 wrong: pwdFailureTime: 1, not locked
  zhangsan, right password: result 0, pwdFailureTime: 0, not locked
both attributes
  zhangsan, 3 wrong: pwdFailureTime: 3, locked
  writer replaces pwdAccountLockedTime pwdFailureTime: result 19, pwdFailureTime: 3, locked
    pwdFailureTime: no user modification allowed
  manager replaces pwdAccountLockedTime pwdFailureTime: result 19, pwdFailureTime: 3, locked
    pwdFailureTime: no user modification allowed
  admin replaces pwdAccountLockedTime pwdFailureTime: result 19, pwdFailureTime: 3, locked
    pwdFailureTime: no user modification allowed
  writer replaces pwdAccountLockedTime pwdFailureTime with Relax Rules: result 50, pwdFailureTime: 3, locked
  manager replaces pwdAccountLockedTime pwdFailureTime with Relax Rules: result 0, pwdFailureTime: 0, not locked
  zhangsan, 1 wrong: pwdFailureTime: 1, not locked
  zhangsan, right password: result 0, pwdFailureTime: 0, not locked
pwdFailureCountInterval: 3, unlocked after 4 seconds
  lisi, 3 wrong: pwdFailureTime: 3, locked
  writer replaces pwdAccountLockedTime: result 0, pwdFailureTime: 3, not locked
  lisi, 1 wrong: pwdFailureTime: 3, not locked
  lisi, right password: result 0, pwdFailureTime: 0, not locked
OUT
diff "$work/expected" "$work/seen" || { echo "the behavior changed" >&2; exit 1; }
