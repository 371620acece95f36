#!/bin/sh
# Tests the assistant on this machine: finds the program for it and hands over. All checks are in the program,
# which runs on any 64-bit processor. Works in any sh, and from a stick that may not run programs.
set -u
command=autoteste

# With CDPATH set, cd may go elsewhere, and says where.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1

case $(uname -m) in
    x86_64 | amd64) target=linux-x86_64 ;;
    aarch64 | arm64) target=linux-arm64 ;;
    *)
        echo "Este pacote não traz o programa para este tipo de computador ($(uname -m))." >&2
        echo "Use outro computador." >&2
        exit 4
        ;;
esac

program=$here/runtime/$target/clinica
if [ ! -f "$program" ]; then
    echo "Falta o arquivo runtime/$target/clinica." >&2
    echo "Copie a pasta inteira de novo; se ele não existe no original, use o Ollama: veja LEIA-ME.txt." >&2
    exit 3
fi

if "$program" versao >/dev/null 2>&1; then
    exec "$program" "$command" --pasta "$here" "$@"
fi

# FAT32 sticks are often mounted so that nothing on them can be run.
copy=$(mktemp -d) || { echo "Não foi possível criar uma pasta temporária. Verifique o disco." >&2; exit 4; }
child=
trap 'rm -rf "$copy"' EXIT
trap '[ -z "$child" ] || kill "$child" 2>/dev/null' TERM HUP
trap : INT
if ! cp "$program" "$copy/clinica" || ! chmod 700 "$copy/clinica" || ! "$copy/clinica" versao >/dev/null 2>&1; then
    echo "O programa não pode ser executado daqui, nem de uma cópia em $copy." >&2
    echo "Copie a pasta inteira para o disco do computador e inicie dali." >&2
    exit 4
fi
"$copy/clinica" "$command" --pasta "$here" "$@" &
child=$!
# A signal ends `wait` before the program has ended.
wait "$child"
code=$?
while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    code=$?
done
# One that ended before `kill` looked has not been waited for; of any other `wait` says 127.
wait "$child" 2>/dev/null
last=$?
[ "$last" = 127 ] || code=$last
exit "$code"
