C     Blocked LU factorisation without pivoting of a diagonally dominant
C     matrix, by DTRSM and DGEMM, in COMMON storage: the leading dimension
C     is larger than the order. Checked with a vector: L (U x) = A x.
C
C     usage: lu_fortran [n]        (n <= 2048)
C
      PROGRAM LUDEMO
      INTEGER NMAX, NB
      PARAMETER (NMAX = 2048, NB = 96)
      DOUBLE PRECISION A(NMAX,NMAX), F(NMAX,NMAX)
      DOUBLE PRECISION X(NMAX), Y(NMAX), Z(NMAX)
      COMMON /WORK/ A, F, X, Y, Z
      INTEGER N, I, J, K, JB, IOS
      DOUBLE PRECISION ONE, RES, YN, CSUM, SECS
      PARAMETER (ONE = 1.0D0)
      INTEGER C0, C1, RATE
      CHARACTER*32 ARG
      EXTERNAL DTRSM, DGEMM
C
      N = 1000
      CALL GETARG(1, ARG)
      IF (ARG .NE. ' ') THEN
         READ (ARG, *, IOSTAT=IOS) N
         IF (IOS .NE. 0) N = 0
      END IF
      IF (N .LT. 1 .OR. N .GT. NMAX) STOP 2
      CALL FILL(A, NMAX, N)
      DO 20 J = 1, N
         DO 10 I = 1, N
            F(I,J) = A(I,J)
   10    CONTINUE
   20 CONTINUE
C
      CALL SYSTEM_CLOCK(C0, RATE)
      DO 30 K = 1, N, NB
         JB = MIN(NB, N - K + 1)
         CALL PANEL(F(K,K), NMAX, N - K + 1, JB)
         IF (K + JB .LE. N) THEN
            CALL DTRSM('Left', 'Lower', 'No transpose', 'Unit', JB,
     $                 N - K - JB + 1, ONE, F(K,K), NMAX,
     $                 F(K,K+JB), NMAX)
            CALL DGEMM('No transpose', 'No transpose', N - K - JB + 1,
     $                 N - K - JB + 1, JB, -ONE, F(K+JB,K), NMAX,
     $                 F(K,K+JB), NMAX, ONE, F(K+JB,K+JB), NMAX)
         END IF
   30 CONTINUE
      CALL SYSTEM_CLOCK(C1, RATE)
      SECS = DBLE(C1 - C0) / DBLE(RATE)
C
      CALL CHECK(A, F, X, Y, Z, NMAX, N, RES, YN)
      CSUM = 0.0D0
      DO 50 J = 1, N
         DO 40 I = 1, N
            CSUM = CSUM + F(I,J)**2
   40    CONTINUE
   50 CONTINUE
      CSUM = SQRT(CSUM)
      WRITE (*, 900) N, RES / YN
      WRITE (*, 910) CSUM
      WRITE (*, 920) SECS
  900 FORMAT ('lu_fortran n=', I0, ' residual=', ES8.1)
  910 FORMAT ('checksum=', ES22.15)
  920 FORMAT ('seconds=', F0.6)
      IF (.NOT. (RES / YN .LT. 1.0D-11)) STOP 1
      END
C
C     A random matrix with a dominant diagonal.
      SUBROUTINE FILL(A, LDA, N)
      INTEGER LDA, N, I, J
      DOUBLE PRECISION A(LDA,*), S
      S = 0.37D0
      DO 20 J = 1, N
         DO 10 I = 1, N
            S = MOD(S * 16807.0D0 + 0.123456789D0, 1.0D0)
            A(I,J) = S - 0.5D0
   10    CONTINUE
         A(J,J) = A(J,J) + DBLE(N)
   20 CONTINUE
      END
C
C     LU of an M by JB panel, column by column.
      SUBROUTINE PANEL(P, LDP, M, JB)
      INTEGER LDP, M, JB, I, J, K
      DOUBLE PRECISION P(LDP,*)
      DO 40 K = 1, JB
         DO 10 I = K + 1, M
            P(I,K) = P(I,K) / P(K,K)
   10    CONTINUE
         DO 30 J = K + 1, JB
            DO 20 I = K + 1, M
               P(I,J) = P(I,J) - P(I,K) * P(K,J)
   20       CONTINUE
   30    CONTINUE
   40 CONTINUE
      END
C
C     RES = || A x - L (U x) ||, YN = || A x ||.
      SUBROUTINE CHECK(A, F, X, Y, Z, LD, N, RES, YN)
      INTEGER LD, N, I, J
      DOUBLE PRECISION A(LD,*), F(LD,*), X(*), Y(*), Z(*), RES, YN, S
      DO 10 I = 1, N
         X(I) = 1.0D0 + DBLE(MOD(I * 7919, 101)) / 101.0D0
         Y(I) = 0.0D0
         Z(I) = 0.0D0
   10 CONTINUE
      DO 40 J = 1, N
         DO 20 I = 1, N
            Y(I) = Y(I) + A(I,J) * X(J)
   20    CONTINUE
         DO 30 I = 1, J
            Z(I) = Z(I) + F(I,J) * X(J)
   30    CONTINUE
   40 CONTINUE
      DO 60 I = N, 1, -1
         S = Z(I)
         DO 50 J = 1, I - 1
            S = S + F(I,J) * Z(J)
   50    CONTINUE
         Z(I) = S
   60 CONTINUE
      RES = 0.0D0
      YN = 0.0D0
      DO 70 I = 1, N
         RES = RES + (Y(I) - Z(I))**2
         YN = YN + Y(I)**2
   70 CONTINUE
      RES = SQRT(RES)
      YN = SQRT(YN)
      END
