@echo off
rem Starts the assistant: finds the program and hands over to it. All checks are in the program, which runs on any
rem 64-bit Windows. Plain cmd, without PowerShell; messages here without accents, whatever the code page is.
setlocal
set "PEDIDO=iniciar"

rem On top of a stick: the program of the folder that was copied with this script decides which of those beside it is
rem started; without that one the program of the oldest does, so that nobody lets a newer one in but who signed the
rem older. A folder without SHA256SUMS was not copied to its end. Between several recipes only a person can choose.
set "FIRST=."
if exist "%~dp0runtime\" goto here
if "%FIRST%"=="." goto look
if not exist "%~dp0%FIRST%\SHA256SUMS" goto look
"%~dp0%FIRST%\iniciar.bat" %*

:look
set "OLDEST="
set "SEVERAL="
set "NAMES="
pushd "%~dp0"
for /f "delims=" %%d in ('dir /b /ad /on') do if exist "%%d\iniciar.bat" if exist "%%d\SHA256SUMS" call :consider "%%d"
popd
if not defined OLDEST goto nothing
if defined SEVERAL goto several
rem Without "call" it takes over, and its exit code with it.
"%~dp0%OLDEST%\iniciar.bat" %*

:nothing
rem In quotes: a folder may be called "a & b".
echo Nenhum pacote encontrado em "%~dp0"
echo Copie a pasta inteira de novo.
pause
exit /b 3

:several
echo Ha mais de um assistente aqui. Abra uma destas pastas e, nela, o arquivo iniciar.bat:
echo  %NAMES%
pause
exit /b 2

:consider
set "NAME=%~1"
rem Without the 14 characters of -yyyymmdd.hhmm.
set "RECIPE=%NAME:~0,-14%"
if defined OLDEST if not "%RECIPE%"=="%LAST%" set "SEVERAL=yes"
if not defined OLDEST set "OLDEST=%NAME%"
set "LAST=%RECIPE%"
set NAMES=%NAMES% "%NAME%"
exit /b

:here
set "PROGRAMA=%~dp0runtime\windows-x86_64\clinica.exe"
if /i "%PROCESSOR_ARCHITECTURE%"=="AMD64" goto right_machine
if /i "%PROCESSOR_ARCHITEW6432%"=="AMD64" goto right_machine
echo O programa precisa de um Windows de 64 bits com processador Intel ou AMD.
echo Use outro computador.
pause
exit /b 4

:right_machine
rem "Microsoft Windows [versao 10.0.19045]": what is written otherwise is let through.
set "SYSTEM=10"
for /f "tokens=2 delims=[]" %%v in ('ver') do for /f "tokens=2 delims=. " %%n in ("%%v") do set "SYSTEM=%%n"
set /a SYSTEM=SYSTEM+0 >nul 2>nul
if %SYSTEM% EQU 0 set "SYSTEM=10"
if %SYSTEM% GEQ 10 goto right_system
echo O programa precisa do Windows 10 ou mais novo. Use outro computador.
pause
exit /b 4

:right_system
if exist "%PROGRAMA%" goto complete
echo Falta o arquivo runtime\windows-x86_64\clinica.exe
echo Copie a pasta inteira de novo. Se um programa de seguranca o apagou, libere o arquivo.
pause
exit /b 3

:complete
"%PROGRAMA%" %PEDIDO% --pasta "%~dp0." %*
set "CODIGO=%ERRORLEVEL%"
rem A window that was opened by a double click would close before anybody reads what went wrong.
if not "%CODIGO%"=="0" pause
exit /b %CODIGO%
