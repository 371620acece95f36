#!/bin/sh
# Starts the assistant: finds the program for this machine and hands over to it. All checks are in the program,
# which runs on any 64-bit processor. Works in any sh, and from a stick that may not run programs.
set -u
command=iniciar

# With CDPATH set, cd may go elsewhere, and says where.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1

# On top of a stick: the program of the folder that was copied with this script decides which of those beside it is
# started; without that one the program of the oldest does, so that nobody lets a newer one in but who signed the older.
# A folder without SHA256SUMS was not copied to its end. Between several recipes only a person can choose.
FIRST=.
if [ ! -d "$here/runtime" ]; then
    if [ "$FIRST" != . ] && [ -f "$here/$FIRST/SHA256SUMS" ]; then
        exec sh "$here/$FIRST/iniciar.sh" "$@"
    fi
    oldest=
    several=
    names=
    for script in "$here"/*/iniciar.sh; do
        folder=${script%/*}
        [ -f "$folder/SHA256SUMS" ] || continue
        name=${folder##*/}
        [ -z "$oldest" ] || [ "${name%-*}" = "${oldest%-*}" ] || several=yes
        [ -n "$oldest" ] || oldest=$name
        names="$names \"$name\""
    done
    if [ -n "$several" ]; then
        echo "Há mais de um assistente aqui. Abra uma destas pastas e, nela, o arquivo iniciar.sh:" >&2
        echo " $names" >&2
        exit 2
    fi
    [ -n "$oldest" ] && exec sh "$here/$oldest/iniciar.sh" "$@"
    echo "Nenhum pacote foi encontrado em $here. Copie a pasta inteira de novo." >&2
    exit 3
fi

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
