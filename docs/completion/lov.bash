# bash completion for lov: made by `lov completion bash`.
_lov() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local command=${COMP_WORDS[1]} members= options= words=
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "init demo serve check consent policy import log key version help completion man" -- "$current"))
        return
    fi
    case $command in
    consent) members="give refuse withdraw renew amend list" ;;
    policy) members="check diff apply show history" ;;
    import) members="consents consumers" ;;
    log) members="show verify root" ;;
    key) members="create revoke list" ;;
    esac
    if [[ $members ]]; then
        if ((COMP_CWORD == 2)); then
            COMPREPLY=($(compgen -W "$members" -- "$current"))
            return
        fi
        command+=" ${COMP_WORDS[2]}"
    fi
    case "$command $previous" in
    "serve --log-level") words="error warn info debug" ;;
    "consent give --channel") words="web app phone paper cmp oauth import" ;;
    "consent refuse --channel") words="web app phone paper cmp oauth import" ;;
    "consent withdraw --channel") words="web app phone paper cmp oauth import" ;;
    "consent renew --channel") words="web app phone paper cmp oauth import" ;;
    "consent amend --channel") words="web app phone paper cmp oauth import" ;;
    "key create --staff") words="admin privacy_officer analyst support marketing auditor collector" ;;
    esac
    if [[ $words ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$current"))
        return
    fi
    case "$command $previous" in
    "demo --consumers") return ;;
    "serve --listen") return ;;
    "serve --threads") return ;;
    "serve --rate-limit") return ;;
    "serve --log-level") return ;;
    "serve --base-url") return ;;
    "check --recipient") return ;;
    "check --purpose") return ;;
    "check --category") return ;;
    "check --consumer") return ;;
    "consent give --consumer") return ;;
    "consent give --purpose") return ;;
    "consent give --recipient") return ;;
    "consent give --categories") return ;;
    "consent give --notice") return ;;
    "consent give --language") return ;;
    "consent give --evidence") return ;;
    "consent give --guardian") return ;;
    "consent give --expires-at") return ;;
    "consent give --idempotency-key") return ;;
    "consent give --channel") return ;;
    "consent give --given-at") return ;;
    "consent refuse --consumer") return ;;
    "consent refuse --purpose") return ;;
    "consent refuse --recipient") return ;;
    "consent refuse --categories") return ;;
    "consent refuse --notice") return ;;
    "consent refuse --language") return ;;
    "consent refuse --evidence") return ;;
    "consent refuse --guardian") return ;;
    "consent refuse --expires-at") return ;;
    "consent refuse --idempotency-key") return ;;
    "consent refuse --channel") return ;;
    "consent refuse --given-at") return ;;
    "consent withdraw --channel") return ;;
    "consent withdraw --reason") return ;;
    "consent withdraw --idempotency-key") return ;;
    "consent renew --notice") return ;;
    "consent renew --language") return ;;
    "consent renew --evidence") return ;;
    "consent renew --guardian") return ;;
    "consent renew --expires-at") return ;;
    "consent renew --idempotency-key") return ;;
    "consent renew --channel") return ;;
    "consent amend --categories") return ;;
    "consent amend --notice") return ;;
    "consent amend --language") return ;;
    "consent amend --evidence") return ;;
    "consent amend --guardian") return ;;
    "consent amend --expires-at") return ;;
    "consent amend --idempotency-key") return ;;
    "consent amend --channel") return ;;
    "consent list --consumer") return ;;
    "log show --consumer") return ;;
    "log show --after") return ;;
    "log show --limit") return ;;
    "key create --recipient") return ;;
    "key create --staff") return ;;
    esac
    case $command in
    "init") options="--policy --dir --json --help " ;;
    "demo") options="--purchases --consumers --policy --dir --json --help " ;;
    "serve") options="--listen --tls-cert --tls-key --threads --rate-limit --allow-remote --log-level --base-url --dir --json --help " ;;
    "check") options="--recipient --purpose --category --consumer --record --dir --json --help " ;;
    "consent give") options="--consumer --purpose --recipient --categories --notice --language --evidence --guardian --expires-at --idempotency-key --channel --given-at --dir --json --help " ;;
    "consent refuse") options="--consumer --purpose --recipient --categories --notice --language --evidence --guardian --expires-at --idempotency-key --channel --given-at --dir --json --help " ;;
    "consent withdraw") options="--channel --reason --idempotency-key --dir --json --help " ;;
    "consent renew") options="--notice --language --evidence --guardian --expires-at --idempotency-key --channel --dir --json --help " ;;
    "consent amend") options="--categories --notice --language --evidence --guardian --expires-at --idempotency-key --channel --dir --json --help " ;;
    "consent list") options="--consumer --dir --json --help " ;;
    "policy check") options="--dir --json --help " ;;
    "policy diff") options="--dir --json --help " ;;
    "policy apply") options="--dir --json --help " ;;
    "policy show") options="--dir --json --help " ;;
    "policy history") options="--dir --json --help " ;;
    "import consents") options="--mapping --rejects --resume --dir --json --help " ;;
    "import consumers") options="--mapping --rejects --resume --dir --json --help " ;;
    "log show") options="--consumer --after --limit --dir --json --help " ;;
    "log verify") options="--dir --json --help " ;;
    "log root") options="--dir --json --help " ;;
    "key create") options="--recipient --staff --dir --json --help " ;;
    "key revoke") options="--dir --json --help " ;;
    "key list") options="--dir --json --help " ;;
    "version") options="--dir --json --help " ;;
    "help") options="--dir --json --help " ;;
    "completion") options="--dir --json --help " ;;
    "man") options="--markdown --dir --json --help " ;;
    esac
    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
    else
        COMPREPLY=($(compgen -f -- "$current"))
    fi
}
complete -o filenames -F _lov lov
